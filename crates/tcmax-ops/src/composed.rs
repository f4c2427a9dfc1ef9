//! The ops as compositions of candle operations whose gradients are right, for devices without a
//! kernel here. Tests run them on the CPU against the kernels.

use candle_core::{Result, Tensor};

use crate::conv2d::Geometry;
use crate::window::Window;

/// `x` (B, C, H, W) as windows (B, C, taps, positions); the padding holds `fill`.
fn windows(x: &Tensor, window: &Window, fill: f64) -> Result<Tensor> {
    let (batch, channels, _, _) = x.dims4()?;
    let flat = x.reshape((batch, channels, window.pixels()))?;
    // One more pixel at the end stands for all padding.
    let outside = flat.narrow(2, 0, 1)?.zeros_like()?.affine(1.0, fill)?;
    let flat = Tensor::cat(&[flat, outside], 2)?;
    let mut index = Vec::with_capacity(window.taps() * window.positions());
    for u in 0..window.kernel.0 {
        for v in 0..window.kernel.1 {
            for i in 0..window.out.0 {
                for j in 0..window.out.1 {
                    let place = window.row(i, u).zip(window.column(j, v));
                    let place = place.map_or(window.pixels(), |(y, x)| y * window.image.1 + x);
                    index.push(place as u32);
                }
            }
        }
    }
    let index = Tensor::new(index, x.device())?;
    flat.index_select(&index, 2)?.reshape((batch, channels, window.taps(), window.positions()))
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    let columns = windows(x, &g.window, 0.0)?;
    let depth = g.from * g.window.taps();
    let columns = columns.reshape((g.batch, depth, g.window.positions()))?;
    let weight = weight.reshape((1, g.to, depth))?.broadcast_as((g.batch, g.to, depth))?;
    let out = weight.contiguous()?.matmul(&columns)?;
    out.reshape((g.batch, g.to, g.window.out.0, g.window.out.1))
}

pub(crate) fn max_pool2d(x: &Tensor, window: &Window) -> Result<Tensor> {
    let (batch, channels, _, _) = x.dims4()?;
    let largest = windows(x, window, f64::NEG_INFINITY)?.max(2)?;
    largest.reshape((batch, channels, window.out.0, window.out.1))
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
        let x = Var::randn(0f64, 1.0, (2, 3, 9, 6), &Device::Cpu).unwrap();
        let w = Var::randn(0f64, 1.0, (4, 3, 3, 3), &Device::Cpu).unwrap();
        let config = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
        let geometry = Geometry::new(&x, &w, config).unwrap();
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
