//! Images as windows.

use candle_core::{Result, Tensor};

use crate::geometry::Window;

/// `x` (B, H, W, C) as windows (B, positions, taps, C); the padding holds `fill`.
pub(crate) fn windows(x: &Tensor, window: &Window, fill: f64) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let flat = x.reshape((batch, window.pixels(), channels))?;
    let outside = flat.narrow(1, 0, 1)?.zeros_like()?.affine(1.0, fill)?;
    let flat = Tensor::cat(&[flat, outside], 1)?;
    let index = Tensor::new(pixels_under(window), x.device())?;
    flat.index_select(&index, 1)?.reshape((batch, window.positions(), window.taps(), channels))
}

/// The pixel under every tap at every position; the padding is one more than the last pixel.
pub(crate) fn pixels_under(window: &Window) -> Vec<u32> {
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
