//! The passes of a normalisation by channel, channels last.
//!
//! With m and v the statistics, s = w / sqrt(v + eps) and g the gradient after the ReLU,
//!
//! ```text
//! forward    y  = relu((x - m) s + b + residual)
//! backward   db = sum g,  dw = sum g (x - m) / sqrt(v + eps)
//!            dx = s (g - mean g - (x - m) / (v + eps) mean(g (x - m)))   if m and v are x's own
//!            dx = s g                                                    if they are given
//! ```
//!
//! The mean is subtracted first, which keeps precision where it is large beside the spread.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::channels::{Affine, band_len, folded, period, repeated};
use crate::cpu::element::Element;
use crate::cpu::pool::PooledGradient;
use crate::cpu::relu::relu;
use crate::cpu::simd::run;
use crate::cpu::statistics::Statistics;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// A normalisation with its statistics.
pub(crate) struct Normaliser<'a, T> {
    pub(crate) statistics: &'a Statistics,
    pub(crate) eps: f64,
    pub(crate) weight: &'a [T],
    pub(crate) bias: &'a [T],
}

/// The gradient of a normalisation's output.
pub(crate) enum Incoming<'a, T> {
    /// Unchanged.
    Plain(&'a [T]),
    /// Through a ReLU whose output was 0 or not.
    Relu { grad: &'a [T], output: &'a [T] },
    /// Through a ReLU of normalised `x`, which is computed again in place of being read.
    Rectified { grad: &'a [T], x: &'a [T], affine: &'a Affine<T> },
    /// Through a ReLU and a maximum over windows.
    Pooled(PooledGradient<'a, T>),
}

impl<T: Element> Incoming<'_, T> {
    fn band_len(&self, channels: usize) -> usize {
        match self {
            Incoming::Pooled(pooled) => pooled.row_len(),
            _ => band_len(channels),
        }
    }

    /// The gradient of band number `band`, in `buffer` if it has to be computed.
    #[inline(always)]
    fn band<'b>(&'b self, band: usize, len: usize, buffer: &'b mut Vec<T>) -> &'b [T] {
        match self {
            Incoming::Plain(grad) => &grad[band * len..][..len.min(grad.len() - band * len)],
            Incoming::Relu { grad, output } => {
                let (grad, output) = (&grad[band * len..], &output[band * len..]);
                buffer.resize(len.min(grad.len()), T::zero());
                for ((out, grad), output) in buffer.iter_mut().zip(grad).zip(output) {
                    // NaN passes, so that it is noticed.
                    *out = if *output <= T::zero() { T::zero() } else { *grad };
                }
                buffer
            }
            Incoming::Rectified { grad, x, affine } => {
                let (grad, x) = (&grad[band * len..], &x[band * len..]);
                buffer.resize(len.min(grad.len()), T::zero());
                rectified_runs(affine, grad, x, buffer);
                buffer
            }
            Incoming::Pooled(pooled) => {
                buffer.resize(len, T::zero());
                pooled.row(band, buffer);
                buffer
            }
        }
    }
}

/// The gradient where the normalised value, computed as in [`apply_runs`], is not 0.
#[inline(always)]
fn rectified_runs<T: Element>(affine: &Affine<T>, grad: &[T], x: &[T], out: &mut [T]) {
    let Affine { mean, scale, shift } = affine;
    let len = mean.len();
    for ((out, grad), x) in out.chunks_mut(len).zip(grad.chunks(len)).zip(x.chunks(len)) {
        let values = out.iter_mut().zip(grad).zip(x);
        for (((out, grad), x), ((mean, scale), shift)) in
            values.zip(mean.iter().zip(scale).zip(shift))
        {
            let output = (*x - *mean) * *scale + *shift;
            *out = if output <= T::zero() { T::zero() } else { *grad };
        }
    }
}

/// Gradients of weight and bias, and what the input's needs of them.
pub(crate) struct Sums {
    /// sum g (x - mean) / sqrt(var + eps)
    pub(crate) weight: Vec<f64>,
    /// sum g
    pub(crate) bias: Vec<f64>,
}

impl<T: Element> Normaliser<'_, T> {
    fn channels(&self) -> usize {
        self.weight.len()
    }

    fn inverse_std(&self) -> impl ExactSizeIterator<Item = f64> + Clone {
        self.statistics.var.iter().map(|var| 1.0 / (var + self.eps).sqrt())
    }

    fn scale(&self) -> impl ExactSizeIterator<Item = f64> + Clone {
        self.inverse_std().zip(self.weight).map(|(inverse, weight)| weight.to_f64() * inverse)
    }

    pub(crate) fn affine(&self) -> Affine<T> {
        Affine {
            mean: repeated(self.statistics.mean.iter().copied()),
            scale: repeated(self.scale()),
            shift: repeated(self.bias.iter().map(|bias| bias.to_f64())),
        }
    }

    /// relu(normal(x) + residual), the ReLU and the residual only if asked for.
    pub(crate) fn apply(&self, x: &[T], residual: Option<&[T]>, with_relu: bool) -> Vec<T> {
        let affine = self.affine();
        let len = band_len(self.channels());
        let write = |y: &mut [MaybeUninit<T>]| {
            let bands = y.par_chunks_mut(len).zip(x.par_chunks(len)).enumerate();
            bands.fork(|(band, (y, x))| {
                let residual = residual.map(|values| &values[band * len..][..x.len()]);
                run(Apply { affine: &affine, x, residual, with_relu, y });
            });
        };
        // SAFETY: a band for every part of x, and `Apply` writes all of its band.
        unsafe { written(x.len(), write) }
    }

    /// The gradients of weight and bias.
    pub(crate) fn sums(&self, x: &[T], incoming: &Incoming<'_, T>) -> Sums {
        let channels = self.channels();
        let mean: Vec<T> = repeated(self.statistics.mean.iter().copied());
        let len = incoming.band_len(channels);
        let bands = x.par_chunks(len).enumerate();
        let sums: Vec<[Vec<f64>; 2]> = bands.gather_with(Vec::new, |buffer, (band, x)| {
            run(SumBand { mean: &mean, x, incoming, band, len, buffer, channels })
        });
        let mut total = Sums { weight: vec![0.0; channels], bias: vec![0.0; channels] };
        for [weight, bias] in sums {
            add(&mut total.weight, weight.into_iter());
            add(&mut total.bias, bias.into_iter());
        }
        for (sum, inverse) in total.weight.iter_mut().zip(self.inverse_std()) {
            *sum *= inverse;
        }
        total
    }

    /// The gradient of the input. `share` is the part that each value has in the statistics, 1 / n of those of n
    /// values of a channel, with the `sums` of them all; 0 where they are given.
    pub(crate) fn input_grad(
        &self,
        x: &[T],
        incoming: &Incoming<'_, T>,
        sums: &Sums,
        share: f64,
    ) -> Vec<T> {
        let channels = self.channels();
        let slopes = sums.weight.iter().zip(self.inverse_std());
        let terms = Terms {
            mean: repeated(self.statistics.mean.iter().copied()),
            scale: repeated(self.scale()),
            mean_grad: repeated(sums.bias.iter().map(|sum| sum * share)),
            slope: repeated(slopes.map(|(sum, inverse)| sum * inverse * share)),
        };
        let len = incoming.band_len(channels);
        let write = |dx: &mut [MaybeUninit<T>]| {
            let bands = dx.par_chunks_mut(len).zip(x.par_chunks(len)).enumerate();
            bands.fork_with(Vec::new, |buffer, (band, (dx, x))| {
                run(InputGradBand { terms: &terms, x, incoming, band, len, buffer, dx });
            });
        };
        // SAFETY: a band for every part of x, and `InputGradBand` writes all of its band.
        unsafe { written(x.len(), write) }
    }

    /// The gradient after the ReLU, which is the residual's.
    pub(crate) fn residual_grad(&self, len: usize, incoming: &Incoming<'_, T>) -> Vec<T> {
        let band = incoming.band_len(self.channels());
        let write = |out: &mut [MaybeUninit<T>]| {
            out.par_chunks_mut(band).enumerate().fork_with(Vec::new, |buffer, (number, out)| {
                run(CopyBand { incoming, band: number, len: band, buffer, out });
            });
        };
        // SAFETY: `CopyBand` writes all of its band.
        unsafe { written(len, write) }
    }
}

fn add(totals: &mut [f64], values: impl Iterator<Item = f64>) {
    for (total, value) in totals.iter_mut().zip(values) {
        *total += value;
    }
}

/// One band of the forward pass.
///
/// A type and not a closure, here and below: a closure may end up outside the function that is
/// compiled for the wide vectors.
struct Apply<'a, T> {
    affine: &'a Affine<T>,
    x: &'a [T],
    residual: Option<&'a [T]>,
    with_relu: bool,
    y: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { affine, x, residual, with_relu, y } = self;
        assert!(x.len() == y.len() && residual.is_none_or(|values| values.len() == y.len()));
        match (residual, with_relu) {
            (None, false) => apply_runs::<T, false>(affine, x, y),
            (None, true) => apply_runs::<T, true>(affine, x, y),
            (Some(residual), false) => add_runs::<T, false>(affine, x, residual, y),
            (Some(residual), true) => add_runs::<T, true>(affine, x, residual, y),
        }
    }
}

/// The ReLU, if there is one.
#[inline(always)]
fn last<T: Element, const RELU: bool>(value: T) -> T {
    if RELU { relu(value) } else { value }
}

#[inline(always)]
fn apply_runs<T: Element, const RELU: bool>(affine: &Affine<T>, x: &[T], y: &mut [MaybeUninit<T>]) {
    let Affine { mean, scale, shift } = affine;
    for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
        for ((((y, x), mean), scale), shift) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift)
        {
            y.write(last::<T, RELU>((*x - *mean) * *scale + *shift));
        }
    }
}

#[inline(always)]
fn add_runs<T: Element, const RELU: bool>(
    affine: &Affine<T>,
    x: &[T],
    residual: &[T],
    y: &mut [MaybeUninit<T>],
) {
    let Affine { mean, scale, shift } = affine;
    let len = mean.len();
    for ((y, x), residual) in y.chunks_mut(len).zip(x.chunks(len)).zip(residual.chunks(len)) {
        let values = y.iter_mut().zip(x).zip(residual);
        let affine = mean.iter().zip(scale).zip(shift);
        for (((y, x), r), ((mean, scale), shift)) in values.zip(affine) {
            y.write(last::<T, RELU>((*x - *mean) * *scale + *shift + *r));
        }
    }
}

/// One band of the sums over a channel: of g (x - mean) and of g.
struct SumBand<'a, T> {
    mean: &'a [T],
    x: &'a [T],
    incoming: &'a Incoming<'a, T>,
    band: usize,
    len: usize,
    buffer: &'a mut Vec<T>,
    channels: usize,
}

impl<T: Element> WithSimd for SumBand<'_, T> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Vec<f64>; 2] {
        let Self { mean, x, incoming, band, len, buffer, channels } = self;
        let grad = incoming.band(band, len, buffer);
        let period = period(channels);
        let (mut weight, mut bias) = (vec![T::zero(); period], vec![T::zero(); period]);
        for (x, grad) in x.chunks(period).zip(grad.chunks(period)) {
            let sums = weight.iter_mut().zip(&mut bias);
            for (((weight, bias), mean), (x, grad)) in sums.zip(mean).zip(x.iter().zip(grad)) {
                *bias += *grad;
                *weight += *grad * (*x - *mean);
            }
        }
        [folded(&weight, channels), folded(&bias, channels)]
    }
}

/// What each value of a run needs for its gradient.
struct Terms<T> {
    mean: Vec<T>,
    scale: Vec<T>,
    mean_grad: Vec<T>,
    slope: Vec<T>,
}

/// One band of the input's gradient.
struct InputGradBand<'a, T> {
    terms: &'a Terms<T>,
    x: &'a [T],
    incoming: &'a Incoming<'a, T>,
    band: usize,
    len: usize,
    buffer: &'a mut Vec<T>,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for InputGradBand<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { terms, x, incoming, band, len, buffer, dx } = self;
        let grad = incoming.band(band, len, buffer);
        assert!(grad.len() == dx.len() && x.len() == dx.len());
        let len = terms.mean.len();
        for ((dx, x), grad) in dx.chunks_mut(len).zip(x.chunks(len)).zip(grad.chunks(len)) {
            let values = dx.iter_mut().zip(x).zip(grad);
            let of_channel = terms.mean.iter().zip(&terms.slope);
            let of_channel = of_channel.zip(terms.mean_grad.iter().zip(&terms.scale));
            for (((dx, x), grad), ((mean, slope), (mean_grad, scale))) in values.zip(of_channel) {
                dx.write((*grad - *mean_grad - (*x - *mean) * *slope) * *scale);
            }
        }
    }
}

/// One band of the gradient after the ReLU.
struct CopyBand<'a, T> {
    incoming: &'a Incoming<'a, T>,
    band: usize,
    len: usize,
    buffer: &'a mut Vec<T>,
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for CopyBand<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let band = self.incoming.band(self.band, self.len, self.buffer);
        assert_eq!(self.out.len(), band.len());
        for (out, value) in self.out.iter_mut().zip(band) {
            out.write(*value);
        }
    }
}
