//! The passes of a maximum over windows of images in channels-last order.
//!
//! The forward pass keeps for every output which tap of its window was the largest; the gradient of
//! an image row is then gathered from the outputs that saw it, without comparing values again.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::channels::Affine;
use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::geometry::Window;
use crate::tasks::Fork;

/// The tap of an output that passes no gradient on.
pub(crate) const NO_TAP: u8 = u8::MAX;

/// Channels whose maxima stay in registers while a window is read; of fewer channels [`FEW`].
const BLOCK: usize = 16;
const FEW: usize = 8;

/// Largest values and their taps: (B, H', W', C) each.
pub(crate) struct Pooled<T> {
    pub(crate) values: Vec<T>,
    pub(crate) taps: Vec<u8>,
}

/// The largest value in each window of images (B, H, W, C), or of relu(normal(value)) if there is a
/// `normal`; then a maximum of 0 passes no gradient.
///
/// The first of equal values wins, row by row. NaN wins over all, so that it is noticed.
pub(crate) fn max<T: Element>(
    x: &[T],
    window: &Window,
    channels: usize,
    normal: Option<&Affine<T>>,
) -> Pooled<T> {
    let images = x.len() / (window.pixels() * channels);
    let len = images * window.positions() * channels;
    let row_len = window.out.1 * channels;
    let write = |values: &mut [MaybeUninit<T>], taps: &mut [MaybeUninit<u8>]| {
        let rows = values.par_chunks_mut(row_len).zip(taps.par_chunks_mut(row_len)).enumerate();
        rows.fork(|(row, (values, taps))| {
            let (image, i) = (row / window.out.0, row % window.out.0);
            let image = &x[image * window.pixels() * channels..][..window.pixels() * channels];
            run(MaxRow { image, window, i, channels, normal, values, taps });
        });
    };
    let mut taps = Vec::new();
    // SAFETY: a task for every row of both, and `MaxRow` writes all of its row.
    let values = unsafe { written(len, |values| taps = written(len, |taps| write(values, taps))) };
    Pooled { values, taps }
}

/// One row of outputs.
struct MaxRow<'a, T> {
    image: &'a [T],
    window: &'a Window,
    i: usize,
    channels: usize,
    normal: Option<&'a Affine<T>>,
    values: &'a mut [MaybeUninit<T>],
    taps: &'a mut [MaybeUninit<u8>],
}

impl<T: Element> WithSimd for MaxRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.channels <= FEW {
            true => self.blocks::<FEW>(),
            false => self.blocks::<BLOCK>(),
        }
    }
}

impl<T: Element> MaxRow<'_, T> {
    /// The row, `N` channels at a time.
    #[inline(always)]
    fn blocks<const N: usize>(self) {
        let Self { image, window, i, channels, normal, values, taps } = self;
        for first in (0..channels).step_by(N) {
            let count = N.min(channels - first);
            let block = Block { image, channels, first, count };
            let normal = match normal {
                Some(normal) => Some(Normal::<T, N>::new(normal, first, count)),
                None => None,
            };
            for j in 0..window.out.1 {
                let (best, tap) = match &normal {
                    Some(normal) => {
                        let (best, tap) = max_of_window(window, (i, j), block, normal);
                        floored(best, tap)
                    }
                    None => max_of_window::<T, N>(window, (i, j), block, &Plain),
                };
                let at = j * channels + first;
                write(&mut values[at..][..count], best);
                let mut bytes = [0; N];
                for lane in 0..N {
                    bytes[lane] = tap[lane] as u8;
                }
                write(&mut taps[at..][..count], bytes);
            }
        }
    }
}

/// The first values of a block, as many as there is room for.
#[inline(always)]
fn write<T: Copy, const N: usize>(out: &mut [MaybeUninit<T>], block: [T; N]) {
    // All of a block have a loop of known length.
    if let Ok(whole) = <&mut [MaybeUninit<T>; N]>::try_from(&mut *out) {
        for lane in 0..N {
            whole[lane].write(block[lane]);
        }
        return;
    }
    for (out, value) in out.iter_mut().zip(block) {
        out.write(value);
    }
}

/// A few channels of an image.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    image: &'a [T],
    channels: usize,
    first: usize,
    count: usize,
}

impl<T: Element> Block<'_, T> {
    /// The values at one pixel.
    #[inline(always)]
    fn at<const N: usize>(&self, pixel: usize) -> [T; N] {
        read(&self.image[pixel * self.channels + self.first..][..self.count])
    }
}

/// What values are mapped by before they are compared. A trait and not a closure, because only methods can
/// be forced to be inlined.
trait Map<T> {
    fn map(&self, lane: usize, value: T) -> T;
}

/// Values unchanged.
struct Plain;

impl<T> Map<T> for Plain {
    #[inline(always)]
    fn map(&self, _: usize, value: T) -> T {
        value
    }
}

/// The normalisation of a few channels.
struct Normal<T, const N: usize> {
    mean: [T; N],
    scale: [T; N],
    shift: [T; N],
}

impl<T: Element, const N: usize> Normal<T, N> {
    #[inline(always)]
    fn new(affine: &Affine<T>, first: usize, count: usize) -> Self {
        Self {
            mean: read(&affine.mean[first..][..count]),
            scale: read(&affine.scale[first..][..count]),
            shift: read(&affine.shift[first..][..count]),
        }
    }
}

impl<T: Element, const N: usize> Map<T> for Normal<T, N> {
    #[inline(always)]
    fn map(&self, lane: usize, value: T) -> T {
        (value - self.mean[lane]) * self.scale[lane] + self.shift[lane]
    }
}

/// A block of values, padded with zeros.
#[inline(always)]
fn read<T: Element, const N: usize>(values: &[T]) -> [T; N] {
    let mut block = [T::zero(); N];
    match <&[T; N]>::try_from(values) {
        Ok(whole) => block = *whole,
        Err(_) => block[..values.len()].copy_from_slice(values),
    }
    block
}

#[inline(always)]
fn max_of_window<T: Element, const N: usize>(
    window: &Window,
    (i, j): (usize, usize),
    block: Block<'_, T>,
    map: &impl Map<T>,
) -> ([T; N], [u32; N]) {
    let mut best = [T::from_f64(f64::NEG_INFINITY); N];
    let mut best_tap = [u32::from(NO_TAP); N];
    let mut first = true;
    for u in 0..window.kernel.0 {
        let Some(y) = window.row(i, u) else { continue };
        for v in 0..window.kernel.1 {
            let Some(x) = window.column(j, v) else { continue };
            let tap = (u * window.kernel.1 + v) as u32;
            if first {
                // A window of minus infinities passes its gradient to its first pixel.
                best_tap = [tap; N];
                first = false;
            }
            let values: [T; N] = block.at(y * window.image.1 + x);
            for lane in 0..N {
                let value = map.map(lane, values[lane]);
                #[expect(clippy::eq_op, reason = "NaN differs from itself")]
                let larger = (value > best[lane]) | (value != value);
                best[lane] = if larger { value } else { best[lane] };
                best_tap[lane] = if larger { tap } else { best_tap[lane] };
            }
        }
    }
    (best, best_tap)
}

/// A ReLU of maxima: those of 0 or less pass no gradient.
#[inline(always)]
fn floored<T: Element, const N: usize>(mut best: [T; N], mut tap: [u32; N]) -> ([T; N], [u32; N]) {
    for lane in 0..N {
        let closed = best[lane] <= T::zero();
        best[lane] = if closed { T::zero() } else { best[lane] };
        tap[lane] = if closed { u32::from(NO_TAP) } else { tap[lane] };
    }
    (best, tap)
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

    /// Writes the gradient of one image row; rows are counted through the batch.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, out: &mut [T]) {
        let Self { window, channels, .. } = self;
        let (image, y) = (row / window.image.0, row % window.image.0);
        out.fill(T::zero());
        for u in 0..window.kernel.0 {
            let Some(offset) = (y + window.padding.0).checked_sub(u) else { continue };
            let i = offset / window.stride.0;
            if !offset.is_multiple_of(window.stride.0) || i >= window.out.0 {
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
                    for ((sum, grad), largest) in out.zip(grad).zip(taps) {
                        *sum += if *largest == tap { *grad } else { T::zero() };
                    }
                }
            }
        }
    }

    /// The gradient of the whole input.
    pub(crate) fn all(&self) -> Vec<T> {
        let images = self.grad.len() / (self.window.positions() * self.channels);
        let mut out = vec![T::zero(); images * self.window.pixels() * self.channels];
        out.par_chunks_mut(self.row_len()).enumerate().fork(|(row, out)| {
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
