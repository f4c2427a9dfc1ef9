//! The ops as compositions of candle operations whose gradients are right, for devices without a
//! kernel here. Tests run them on the CPU against the kernels.

use candle_core::{Result, Tensor};

use crate::kernels::Shape;
use crate::window::Window;

/// `x` (B, H, W, C) as windows (B, positions, taps, C); the padding holds `fill`.
fn windows(x: &Tensor, window: &Window, fill: f64) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let flat = x.reshape((batch, window.pixels(), channels))?;
    // One more pixel at the end stands for all padding.
    let outside = flat.narrow(1, 0, 1)?.zeros_like()?.affine(1.0, fill)?;
    let flat = Tensor::cat(&[flat, outside], 1)?;
    let mut index = Vec::with_capacity(window.taps() * window.positions());
    for i in 0..window.out.0 {
        for j in 0..window.out.1 {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let place = window.row(i, u).zip(window.column(j, v));
                    let place = place.map_or(window.pixels(), |(y, x)| y * window.image.1 + x);
                    index.push(place as u32);
                }
            }
        }
    }
    let index = Tensor::new(index, x.device())?;
    flat.index_select(&index, 1)?.reshape((batch, window.positions(), window.taps(), channels))
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, shape: &Shape) -> Result<Tensor> {
    let window = &shape.window;
    let depth = shape.from * window.taps();
    let rows = windows(x, window, 0.0)?.reshape((shape.batch * window.positions(), depth))?;
    let out = rows.matmul(&weight.reshape((depth, shape.to))?)?;
    out.reshape((shape.batch, window.out.0, window.out.1, shape.to))
}

pub(crate) fn max_pool2d(x: &Tensor, window: &Window) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let largest = windows(x, window, f64::NEG_INFINITY)?.max(2)?;
    largest.reshape((batch, window.out.0, window.out.1, channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv2dConfig, MaxPool2dConfig};
    use candle_core::{Device, Var};

    /// Value and gradients of sum(f(x, w) * g).
    fn run(f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>, x: &Var, w: &Var) -> Vec<Tensor> {
        let y = f(x.as_tensor(), w.as_tensor()).unwrap();
        let size = y.elem_count() as f64;
        let g = Tensor::arange(0.0, size, &Device::Cpu).unwrap().sin().unwrap();
        let loss = (&y * g.reshape(y.shape()).unwrap()).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let own = [x, w].into_iter().filter_map(|var| grads.get(var.as_tensor()).cloned());
        std::iter::once(y.clone()).chain(own).collect()
    }

    fn assert_close(a: &[Tensor], b: &[Tensor]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f64>().unwrap() < 1e-12);
        }
    }

    #[test]
    fn compositions_agree_with_the_kernels() {
        let x = Var::randn(0f64, 1.0, (2, 9, 6, 3), &Device::Cpu).unwrap();
        let w = Var::randn(0f64, 1.0, (3, 3, 3, 4), &Device::Cpu).unwrap();
        let config = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
        let geometry = crate::conv2d::shape_of(&x, &w, config).unwrap();
        assert_close(
            &run(|x, w| crate::conv2d(x, w, config), &x, &w),
            &run(|x, w| conv2d(x, w, &geometry), &x, &w),
        );
        let config = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
        let window = Window::new("test", (9, 6), (3, 3), (2, 2), (1, 1)).unwrap();
        assert_close(
            &run(|x, _| crate::max_pool2d(x, config), &x, &w),
            &run(|x, _| max_pool2d(x, &window), &x, &w),
        );
    }
}
