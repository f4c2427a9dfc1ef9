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

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
}

impl Statistics {
    /// The statistics of rows of `channels` values; there must be at least one row.
    pub(crate) fn of<T: Element>(values: &[T], channels: usize) -> Self {
        let bands = values.par_chunks(band_len(channels));
        let moments: Vec<Moments> = bands.map(|band| run(OfBand { band, channels })).collect();
        let mut moments = moments.into_iter();
        let Some(mut total) = moments.next() else {
            return Self { mean: vec![0.0; channels], var: vec![0.0; channels] };
        };
        moments.for_each(|band| total.merge(&band));
        let var = total.squares.iter().map(|squares| squares / total.count).collect();
        Self { mean: total.mean, var }
    }
}

/// Count, mean and sum of squared differences from it, of each channel.
struct Moments {
    count: f64,
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
