//! The passes of a maximum over windows of images in channels-last order.
//!
//! The forward pass keeps for every output which tap of its window was the largest; the gradient of
//! an image row is then gathered from the outputs that saw it, without comparing values again.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::Element;
use crate::kernels::run;
use crate::window::Window;

/// The tap of an output that passes no gradient on.
pub(crate) const NO_TAP: u8 = u8::MAX;

/// Channels whose maxima stay in registers while a window is read.
pub(crate) const BLOCK: usize = 16;

/// Largest values and their taps: (B, H', W', C) each.
pub(crate) struct Pooled<T> {
    pub(crate) values: Vec<T>,
    pub(crate) taps: Vec<u8>,
}

/// The largest of `map(channel, value)` in each window of images (B, H, W, C). With `floor`, a
/// maximum of 0 or less becomes 0 and passes no gradient: a ReLU before the maximum.
///
/// `map` is also called for channels up to a whole block past the last. Among equals the first wins, row by row; NaN wins over all, so that it is seen.
pub(crate) fn max<T: Element>(
    x: &[T],
    window: &Window,
    channels: usize,
    floor: bool,
    map: impl Fn(usize, T) -> T + Sync,
) -> Pooled<T> {
    let images = x.len() / (window.pixels() * channels);
    let len = images * window.positions() * channels;
    let (mut values, mut taps) = (vec![T::zero(); len], vec![0u8; len]);
    let row_len = window.out.1 * channels;
    let rows = values.par_chunks_mut(row_len).zip(taps.par_chunks_mut(row_len)).enumerate();
    rows.for_each(|(row, (values, taps))| {
        let (image, i) = (row / window.out.0, row % window.out.0);
        let image = &x[image * window.pixels() * channels..][..window.pixels() * channels];
        run(MaxRow { image, window, i, channels, floor, map: &map, values, taps });
    });
    Pooled { values, taps }
}

/// One row of outputs.
struct MaxRow<'a, T, F> {
    image: &'a [T],
    window: &'a Window,
    i: usize,
    channels: usize,
    floor: bool,
    map: &'a F,
    values: &'a mut [T],
    taps: &'a mut [u8],
}

impl<T: Element, F: Fn(usize, T) -> T> WithSimd for MaxRow<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { image, window, i, channels, floor, map, values, taps } = self;
        let pixels = values.chunks_exact_mut(channels).zip(taps.chunks_exact_mut(channels));
        for (j, (values, taps)) in pixels.enumerate() {
            let blocks = values.chunks_mut(BLOCK).zip(taps.chunks_mut(BLOCK));
            for (block, out) in blocks.enumerate() {
                max_of_window(image, window, (i, j), block * BLOCK, out, floor, map);
            }
        }
    }
}

#[inline(always)]
fn max_of_window<T: Element>(
    image: &[T],
    window: &Window,
    (i, j): (usize, usize),
    channel: usize,
    out: (&mut [T], &mut [u8]),
    floor: bool,
    map: &impl Fn(usize, T) -> T,
) {
    let (values, taps) = out;
    let channels = image.len() / window.pixels();
    let count = values.len();
    let mut best = [T::from_f64(f64::NEG_INFINITY); BLOCK];
    // A window of minus infinities passes its gradient to its first pixel.
    let mut best_tap: Option<[u32; BLOCK]> = None;
    for u in 0..window.kernel.0 {
        let Some(y) = window.row(i, u) else { continue };
        for v in 0..window.kernel.1 {
            let Some(x) = window.column(j, v) else { continue };
            let tap = (u * window.kernel.1 + v) as u32;
            let best_tap = best_tap.get_or_insert([tap; BLOCK]);
            let pixel = &image[(y * window.image.1 + x) * channels + channel..][..count];
            let mut block = [T::zero(); BLOCK];
            block[..count].copy_from_slice(pixel);
            for lane in 0..BLOCK {
                let value = map(channel + lane, block[lane]);
                #[expect(clippy::eq_op, reason = "NaN differs from itself")]
                let larger = value > best[lane] || value != value;
                best[lane] = if larger { value } else { best[lane] };
                best_tap[lane] = if larger { tap } else { best_tap[lane] };
            }
        }
    }
    let mut best_tap = best_tap.unwrap_or([u32::from(NO_TAP); BLOCK]);
    if floor {
        for (value, tap) in best.iter_mut().zip(&mut best_tap) {
            let closed = *value <= T::zero();
            *value = if closed { T::zero() } else { *value };
            *tap = if closed { u32::from(NO_TAP) } else { *tap };
        }
    }
    values.copy_from_slice(&best[..count]);
    for (out, tap) in taps.iter_mut().zip(&best_tap) {
        *out = *tap as u8;
    }
}

/// The gradient of a maximum's input.
pub(crate) struct PooledGradient<'a, T> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    /// Of the output.
    pub(crate) grad: &'a [T],
    pub(crate) taps: &'a [u8],
}

impl<T: Element> PooledGradient<'_, T> {
    /// Values of an image row.
    pub(crate) fn row_len(&self) -> usize {
        self.window.image.1 * self.channels
    }

    /// Writes the gradient of one image row, rows counted through the batch.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, out: &mut [T]) {
        let Self { window, channels, .. } = self;
        let (image, y) = (row / window.image.0, row % window.image.0);
        out.fill(T::zero());
        for u in 0..window.kernel.0 {
            let Some(place) = (y + window.padding.0).checked_sub(u) else { continue };
            let i = place / window.stride.0;
            if !place.is_multiple_of(window.stride.0) || i >= window.out.0 {
                continue;
            }
            for v in 0..window.kernel.1 {
                let tap = (u * window.kernel.1 + v) as u8;
                for j in window.inside(v) {
                    let x = j * window.stride.1 + v - window.padding.1;
                    let from = ((image * window.out.0 + i) * window.out.1 + j) * channels;
                    let out = out[x * channels..][..*channels].iter_mut();
                    let (grad, taps) =
                        (&self.grad[from..][..*channels], &self.taps[from..][..*channels]);
                    for ((sum, grad), own) in out.zip(grad).zip(taps) {
                        *sum += if *own == tap { *grad } else { T::zero() };
                    }
                }
            }
        }
    }

    /// The gradient of the whole input.
    pub(crate) fn all(&self) -> Vec<T> {
        let images = self.grad.len() / (self.window.positions() * self.channels);
        let mut out = vec![T::zero(); images * self.window.pixels() * self.channels];
        out.par_chunks_mut(self.row_len()).enumerate().for_each(|(row, out)| {
            run(GradientRow { gradient: self, row, out });
        });
        out
    }
}

/// One row of [`PooledGradient::all`].
struct GradientRow<'a, T> {
    gradient: &'a PooledGradient<'a, T>,
    row: usize,
    out: &'a mut [T],
}

impl<T: Element> WithSimd for GradientRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.gradient.row(self.row, self.out);
    }
}
