//! Mean and variance of each channel, channels last.
//!
//! Values are taken in bands that stay in the first-level cache, two passes over each, sums in the
//! element type; bands are merged in f64 by the formula of Chan, Golub and LeVeque (1979). Bands are
//! cut by the number of channels alone, and merged in order.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::channels::{band_len, folded, period, repeated};
use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
}

impl Statistics {
    /// The statistics of rows of `channels` values; there must be at least one row.
    pub(crate) fn of<T: Element>(values: &[T], channels: usize) -> Self {
        Moments::of(values, channels).statistics()
    }
}

/// Count, mean and sum of squared differences from it, of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

/// The moments of one band of values.
struct OfBand<'a, T> {
    band: &'a [T],
    channels: usize,
}

impl<T: Element> WithSimd for OfBand<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Moments {
        let Self { band, channels } = self;
        let period = period(channels);
        let count = (band.len() / channels) as f64;
        let mut sums = vec![T::zero(); period];
        for run in band.chunks(period) {
            for (sum, value) in sums.iter_mut().zip(run) {
                *sum += *value;
            }
        }
        let mean: Vec<f64> = folded(&sums, channels).into_iter().map(|sum| sum / count).collect();
        let rounded: Vec<T> = repeated(mean.iter().copied());
        sums.fill(T::zero());
        for run in band.chunks(period) {
            for ((sum, value), mean) in sums.iter_mut().zip(run).zip(&rounded) {
                let gap = *value - *mean;
                *sum += gap * gap;
            }
        }
        // The differences were taken from a rounded mean.
        let squares = folded(&sums, channels).into_iter().zip(mean.iter().zip(&rounded));
        let squares = squares.map(|(sum, (mean, rounded))| {
            (sum - count * (mean - rounded.to_f64()).powi(2)).max(0.0)
        });
        let squares = squares.collect();
        Moments { count, mean, squares }
    }
}

impl Moments {
    /// The moments of nothing.
    pub(crate) fn none(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// The moments of rows of `channels` values.
    pub(crate) fn of<T: Element>(values: &[T], channels: usize) -> Self {
        let bands = values.par_chunks(band_len(channels));
        let moments: Vec<Self> = bands.gather(|band| run(OfBand { band, channels }));
        Self::merged(moments, channels)
    }

    /// Those of several, in their order.
    pub(crate) fn merged(parts: impl IntoIterator<Item = Self>, channels: usize) -> Self {
        // Nothing has no mean to merge.
        let mut parts = parts.into_iter().filter(|part| part.count > 0.0);
        let Some(mut total) = parts.next() else { return Self::none(channels) };
        parts.for_each(|part| total.merge(&part));
        total
    }

    /// Mean and biased variance; of nothing, zeros.
    pub(crate) fn statistics(self) -> Statistics {
        let count = if self.count > 0.0 { self.count } else { 1.0 };
        let var = self.squares.iter().map(|squares| squares / count).collect();
        Statistics { mean: self.mean, var }
    }

    /// Its numbers, one after the other.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let numbers = std::iter::once(&self.count).chain(&self.mean).chain(&self.squares);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    /// What [`Self::to_bytes`] returned for so many channels.
    pub(crate) fn from_bytes(bytes: &[u8], channels: usize) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if !rest.is_empty() || numbers.len() != 1 + 2 * channels {
            return None;
        }
        let (mean, squares) = numbers[1..].split_at(channels);
        Some(Self { count: numbers[0], mean: mean.to_vec(), squares: squares.to_vec() })
    }

    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        let pairs = self.mean.iter_mut().zip(&mut self.squares);
        for ((mean, squares), (m, s)) in pairs.zip(other.mean.iter().zip(&other.squares)) {
            let gap = m - *mean;
            *mean += gap * other.count / count;
            *squares += s + gap * gap * self.count * other.count / count;
        }
        self.count = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_costs_no_precision() {
        for channels in [1, 3, 8, 64, 200] {
            let values: Vec<f32> = (0..channels * 3001)
                .map(|i| 1000.0 + (i % channels) as f32 + ((i * 37) % 101) as f32 / 101.0)
                .collect();
            let statistics = Statistics::of(&values, channels);
            for channel in 0..channels {
                let of_channel =
                    || values.iter().skip(channel).step_by(channels).map(|v| f64::from(*v));
                let mean = of_channel().sum::<f64>() / 3001.0;
                let var = of_channel().map(|v| (v - mean).powi(2)).sum::<f64>() / 3001.0;
                assert!((statistics.mean[channel] - mean).abs() < 1e-4);
                assert!((statistics.var[channel] / var - 1.0).abs() < 1e-4, "{channels}");
            }
        }
    }

    #[test]
    fn nan_is_not_hidden() {
        let statistics = Statistics::of(&[1f32, 2.0, f32::NAN, 4.0], 2);
        assert!(statistics.mean[0].is_nan());
        assert_eq!(statistics.mean[1], 3.0);
    }
}
