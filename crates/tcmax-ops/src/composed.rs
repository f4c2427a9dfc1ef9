//! The ops as compositions of candle operations whose gradients are right, for devices without a
//! kernel here. Tests run them on the CPU against the kernels.

use candle_core::{Result, Tensor};

use crate::kernels::Shape;
use crate::window::Window;

/// `x` (B, H, W, C) as windows (B, positions, taps, C); the padding holds `fill`.
fn windows(x: &Tensor, window: &Window, fill: f64) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let flat = x.reshape((batch, window.pixels(), channels))?;
    let outside = flat.narrow(1, 0, 1)?.zeros_like()?.affine(1.0, fill)?;
    let flat = Tensor::cat(&[flat, outside], 1)?;
    let index = Tensor::new(pixels_under(window), x.device())?;
    flat.index_select(&index, 1)?.reshape((batch, window.positions(), window.taps(), channels))
}

/// The pixel under every tap at every position; one more than the last stands for all padding.
fn pixels_under(window: &Window) -> Vec<u32> {
    let mut pixels = Vec::with_capacity(window.taps() * window.positions());
    for i in 0..window.out.0 {
        for j in 0..window.out.1 {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let pixel = window.row(i, u).zip(window.column(j, v));
                    let pixel = pixel.map_or(window.pixels(), |(y, x)| y * window.image.1 + x);
                    pixels.push(pixel as u32);
                }
            }
        }
    }
    pixels
}

pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, shape: &Shape) -> Result<Tensor> {
    let window = &shape.window;
    let depth = shape.from * window.taps();
    let rows = windows(x, window, 0.0)?.reshape((shape.batch * window.positions(), depth))?;
    let out = rows.matmul(&weight.reshape((depth, shape.to))?)?;
    out.reshape((shape.batch, window.out.0, window.out.1, shape.to))
}

/// As the kernel: the first of equals wins and has the whole gradient, and NaN wins over all. candle's
/// own `max` would give every one of them the whole gradient.
pub(crate) fn max_pool2d(x: &Tensor, window: &Window) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let (taps, positions) = (window.taps(), window.positions());
    let pixels = pixels_under(window);
    // A window of minus infinities takes its first pixel inside the image.
    let inside = |pixel: &&u32| (**pixel as usize) < window.pixels();
    let first = pixels.chunks(taps).map(|pixels| pixels.iter().find(inside).copied().unwrap_or(0));
    let shape = (batch, positions, channels);
    let of_positions = |pixels: Vec<u32>| {
        Tensor::from_vec(pixels, (1, positions, 1), x.device())?.broadcast_as(shape)?.contiguous()
    };
    let mut chosen = of_positions(first.collect())?;
    let values = windows(&x.detach(), window, f64::NEG_INFINITY)?;
    let value = |tap: usize| values.narrow(2, tap, 1)?.squeeze(2)?.contiguous();
    let mut best = value(0)?.zeros_like()?.affine(1.0, f64::NEG_INFINITY)?;
    for tap in 0..taps {
        let value = value(tap)?;
        let pixel = of_positions(pixels.iter().skip(tap).step_by(taps).copied().collect())?;
        for wins in [value.gt(&best)?, value.ne(&value)?] {
            best = wins.where_cond(&value, &best)?;
            chosen = wins.where_cond(&pixel, &chosen)?;
        }
    }
    let flat = x.reshape((batch, window.pixels(), channels))?.contiguous()?;
    flat.gather(&chosen, 1)?.reshape((batch, window.out.0, window.out.1, channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conv2dConfig, MaxPool2dConfig};
    use candle_core::{DType, Device, Var};

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

    /// A window on a square image.
    fn pooling(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> (MaxPool2dConfig, Window) {
        let [kernel, stride, padding] = [kernel, stride, padding].map(|n| (n, n));
        let config = MaxPool2dConfig { kernel, stride, padding };
        (config, Window::new("test", (size, size), kernel, stride, padding).unwrap())
    }

    #[test]
    fn a_maximum_gives_its_gradient_to_the_first_of_equals_everywhere() {
        // Equal everywhere: each window of its own passes one gradient on, to its first pixel.
        let x = Var::ones((1, 4, 4, 1), DType::F64, &Device::Cpu).unwrap();
        let (config, window) = pooling(4, 2, 2, 0);
        let ours = |x: &Tensor| crate::max_pool2d(x, config);
        let theirs = |x: &Tensor| max_pool2d(x, &window);
        for f in [&ours as &dyn Fn(&Tensor) -> Result<Tensor>, &theirs] {
            let grads = f(x.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
            let rows = grads.get(x.as_tensor()).unwrap().reshape((4, 4)).unwrap();
            let first = [1.0, 0.0, 1.0, 0.0];
            assert_eq!(rows.to_vec2::<f64>().unwrap(), [first, [0.0; 4], first, [0.0; 4]]);
        }
    }

    #[test]
    fn maxima_with_ties_infinities_and_nan_agree_with_the_kernel() {
        let few = [0.0, 1.0, 1.0, f64::NEG_INFINITY, f64::NAN, f64::NEG_INFINITY, 0.0];
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (2, 1, 1), (3, 1, 0), (1, 2, 0)] {
            for step in [3, 5, 11] {
                let values: Vec<f64> = (0..2 * 49 * 3).map(|i| few[i * step % 17 % 7]).collect();
                let x = Tensor::from_vec(values, (2, 7, 7, 3), &Device::Cpu).unwrap();
                let x = Var::from_tensor(&x).unwrap();
                let (config, window) = pooling(7, kernel, stride, padding);
                let kernel = run(|x, _| crate::max_pool2d(x, config), &x, &x);
                let composed = run(|x, _| max_pool2d(x, &window), &x, &x);
                let numbers = |t: &Tensor| crate::to_vec_f64(t).unwrap();
                let bits =
                    |t: &Tensor| numbers(t).into_iter().map(f64::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(&kernel[0]), bits(&composed[0]), "{config:?}");
                // Gradients of several windows are added in another order.
                assert_close(&kernel[1..2], &composed[1..2]);
            }
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
