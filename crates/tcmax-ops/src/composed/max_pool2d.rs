//! Maximum over windows.

use candle_core::{Result, Tensor};

use crate::composed::windows::{pixels_under, windows};
use crate::geometry::Window;

/// As in the kernel, the first of equal values wins and gets the whole gradient, and NaN wins over all.
/// candle's own `max` would give each of them the whole gradient.
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
