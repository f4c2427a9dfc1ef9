//! Whether two methods differ over the same seeds, by Student's t.
//!
//! A seed fixes split, order and initial weights, so that runs of two methods from one seed belong
//! together: what they differ by varies less than either.

use serde::{Deserialize, Serialize};

use crate::compare::interval::{Interval, mean_and_variance};
use crate::compare::student::{quantile, two_sided};
use crate::error::{Error, Result};

/// The difference of two methods over the same seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean difference, with its 95% Student-t interval.
    pub interval: Interval,
    /// Two-sided p value of the paired t-test of no difference; `None` for a single pair.
    pub p: Option<f64>,
}

impl PairedDifference {
    /// Of pairs (value, value of the other) of the same seeds: value less the other. `None` when there is
    /// no pair, or a value is not finite.
    ///
    /// The differences must be independent: other seeds, the same split. For folds, or seeds that also draw
    /// the split, use [`PairedDifference::of_resampled`].
    ///
    /// ```
    /// use tcmax_metrics::PairedDifference;
    ///
    /// // Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 3.46 of 2 degrees of freedom.
    /// let difference = PairedDifference::of(&[(5.0, 4.0), (9.0, 7.0), (3.0, 0.0)]).unwrap();
    /// assert_eq!(difference.interval.mean, 2.0);
    /// assert!((difference.p.unwrap() - 0.0742).abs() < 1e-4);
    /// ```
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let interval = Interval::of(&differences(pairs))?;
        Some(Self::of_interval(interval, pairs.len() as f64 - 1.0))
    }

    /// Of pairs (value, value of the other) from J runs with training and test rows of their own, drawn again
    /// from the same data: folds of a cross-validation, or a random split per run.
    ///
    /// Such runs share training rows, which makes their differences alike, and their variance over J too small
    /// for the variance of the mean. The corrected resampled t-test takes (1/J + n_test / n_train) times the
    /// variance instead (Nadeau and Bengio 2003, "Inference for the Generalization Error"). `test_to_train` is
    /// n_test / n_train: 0.25 for five folds.
    ///
    /// ```
    /// use tcmax_metrics::PairedDifference;
    ///
    /// let pairs = [(0.91, 0.90), (0.93, 0.90), (0.92, 0.90), (0.92, 0.91), (0.94, 0.91)];
    /// let plain = PairedDifference::of(&pairs).unwrap();
    /// let folds = PairedDifference::of_resampled(&pairs, 0.25)?.unwrap();
    /// // Variance of the mean: s^2 (1/5 + 1/4) for s^2 / 5, so the interval is 1.5 times as wide.
    /// let ratio = folds.interval.half_width.unwrap() / plain.interval.half_width.unwrap();
    /// assert!((ratio - 1.5).abs() < 1e-9 && folds.p > plain.p);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the ratio is not a positive number.
    pub fn of_resampled(pairs: &[(f64, f64)], test_to_train: f64) -> Result<Option<Self>> {
        if !(test_to_train.is_finite() && test_to_train > 0.0) {
            let (value, wanted) = (test_to_train, "a positive number");
            return Err(Error::BadParameter { name: "test rows / training rows", value, wanted });
        }
        let Some((mean, variance)) = mean_and_variance(&differences(pairs)) else {
            return Ok(None);
        };
        let (runs, freedom) = (pairs.len() as f64, pairs.len() as f64 - 1.0);
        let error = variance.map(|variance| ((1.0 / runs + test_to_train) * variance).sqrt());
        let half_width = error.map(|error| quantile(freedom) * error);
        Ok(Some(Self::of_interval(Interval { mean, half_width }, freedom)))
    }

    fn of_interval(interval: Interval, freedom: f64) -> Self {
        let p = interval.half_width.map(|half| {
            let error = half / quantile(freedom);
            if error > 0.0 {
                two_sided(interval.mean / error, freedom)
            } else {
                // All differences are the same.
                f64::from(u8::from(interval.mean == 0.0))
            }
        });
        Self { interval, p }
    }
}

fn differences(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(one, other)| one - other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_tell_what_means_do_not() {
        // Seeds vary by 10, and the second method is 1 better in each, give or take 0.1.
        let seeds = [70.0, 80.0, 75.0, 90.0, 85.0];
        let better = [71.1, 80.9, 76.0, 91.05, 85.95];
        let pairs: Vec<(f64, f64)> = better.into_iter().zip(seeds).collect();
        let difference = PairedDifference::of(&pairs).unwrap();
        assert!((difference.interval.mean - 1.0).abs() < 1e-9);
        assert!(difference.interval.half_width.unwrap() < 0.11 && difference.p.unwrap() < 1e-4);
        assert!(Interval::of(&better).unwrap().half_width.unwrap() > 9.0);
        // The other way round the sign changes and nothing else does.
        let other: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
        let other = PairedDifference::of(&other).unwrap();
        assert!((other.interval.mean + difference.interval.mean).abs() < 1e-12);
        assert!((other.p.unwrap() - difference.p.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn known_values() {
        let first = [0.912, 0.905, 0.931, 0.887, 0.921, 0.899, 0.915];
        let second = [0.901, 0.899, 0.915, 0.893, 0.905, 0.880, 0.914];
        let pairs: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        let close =
            |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-11, "{got}, {wanted}");
        // scipy 1.17.1: ttest_rel(first, second) and its confidence_interval(0.95).
        let plain = PairedDifference::of(&pairs).unwrap();
        close(plain.p.unwrap(), 0.04020401963416458);
        close(plain.interval.mean, 0.009);
        close(plain.interval.mean - plain.interval.half_width.unwrap(), 0.0005573520238910234);
        // With numpy: se = sqrt((1/7 + 0.25) * d.var(ddof=1)), 2 * t.sf(d.mean() / se, 6), t.ppf(0.975, 6) * se.
        let resampled = PairedDifference::of_resampled(&pairs, 0.25).unwrap().unwrap();
        close(resampled.p.unwrap(), 0.1667917964393932);
        close(resampled.interval.half_width.unwrap(), 0.014000547786903449);
    }

    #[test]
    fn equal_values_one_pair_and_none() {
        let same = PairedDifference::of(&[(0.5, 0.5), (0.25, 0.25)]).unwrap();
        assert_eq!((same.interval.mean, same.p), (0.0, Some(1.0)));
        let shifted = PairedDifference::of(&[(1.5, 1.0), (2.5, 2.0)]).unwrap();
        assert_eq!((shifted.interval.mean, shifted.p), (0.5, Some(0.0)));
        assert_eq!(PairedDifference::of(&[(1.0, 0.0)]).unwrap().p, None);
        assert_eq!(PairedDifference::of(&[]), None);
        assert_eq!(PairedDifference::of(&[(f64::NAN, 0.0)]), None);
        let resampled = |pairs: &[(f64, f64)]| PairedDifference::of_resampled(pairs, 0.25).unwrap();
        assert_eq!(resampled(&[(1.5, 1.0), (2.5, 2.0)]), Some(shifted));
        assert_eq!(resampled(&[(1.0, 0.0)]).unwrap().p, None);
        assert_eq!(resampled(&[]), None);
        assert!(PairedDifference::of_resampled(&[], 0.0).is_err());
    }
}
