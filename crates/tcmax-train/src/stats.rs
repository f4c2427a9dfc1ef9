//! Mean and 95% interval over seeds, and whether two methods differ over the same seeds.
//!
//! A seed fixes split, order and initial weights, so that runs of two methods from one seed belong
//! together: what they differ by varies less than either. Several comparisons at once are corrected as
//! Holm (1979) does it.

use std::fmt;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean with the half width of its 95% Student-t interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the interval's width; `None` for fewer than two values.
    pub half_width: Option<f64>,
}

impl Interval {
    /// The interval of some values; `None` when there is none, or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let half_width = (values.len() > 1).then(|| {
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            quantile(n - 1.0) * (var / n).sqrt()
        });
        Some(Self { mean, half_width })
    }

    /// The interval in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            mean: self.mean * factor,
            half_width: self.half_width.map(|half| half * factor.abs()),
        }
    }
}

/// The difference of two methods over the same seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// ```
    /// use tcmax_train::stats::PairedDifference;
    ///
    /// // Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 3.46 of 2 degrees of freedom.
    /// let difference = PairedDifference::of(&[(5.0, 4.0), (9.0, 7.0), (3.0, 0.0)]).unwrap();
    /// assert_eq!(difference.interval.mean, 2.0);
    /// assert!((difference.p.unwrap() - 0.0742).abs() < 1e-4);
    /// ```
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let differences: Vec<f64> = pairs.iter().map(|(one, other)| one - other).collect();
        let interval = Interval::of(&differences)?;
        let freedom = differences.len() as f64 - 1.0;
        let p = interval.half_width.map(|half| {
            let error = half / quantile(freedom);
            if error > 0.0 {
                two_sided(interval.mean / error, freedom)
            } else {
                // All differences are the same.
                f64::from(u8::from(interval.mean == 0.0))
            }
        });
        Some(Self { interval, p })
    }
}

/// p values corrected for being several (Holm 1979), in the order given; `None` counts for nothing.
///
/// ```
/// use tcmax_train::stats::holm;
///
/// let corrected = holm(&[Some(0.01), None, Some(0.04), Some(0.03)]);
/// assert_eq!(corrected, [Some(0.03), None, Some(0.06), Some(0.06)]);
/// ```
pub fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut known: Vec<(usize, f64)> =
        p.iter().enumerate().filter_map(|(place, p)| Some((place, (*p)?))).collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut corrected = vec![None; p.len()];
    let (count, mut least) = (known.len(), 0.0f64);
    for (rank, (place, p)) in known.into_iter().enumerate() {
        least = least.max((p * (count - rank) as f64).min(1.0));
        corrected[place] = Some(least);
    }
    corrected
}

/// The probability of a t at least this far from 0.
fn two_sided(t: f64, degrees_of_freedom: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, degrees_of_freedom);
    // Degrees of freedom are at least 1 here.
    distribution.map_or(f64::NAN, |d| (2.0 * d.sf(t.abs())).min(1.0))
}

/// The 97.5% quantile of Student's t.
fn quantile(degrees_of_freedom: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, degrees_of_freedom);
    // Degrees of freedom are at least 1 here.
    t.map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

impl fmt::Display for Interval {
    /// `91.3 ± 1.2`, with the formatter's precision or one digit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$}", self.mean)?;
        match self.half_width {
            Some(half) => write!(f, " ± {half:.digits$}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (n, wanted) in [(2, 12.706), (3, 4.303), (5, 2.776), (31, 2.042)] {
            assert!((quantile(n as f64 - 1.0) - wanted).abs() < 1e-3, "n = {n}");
        }
    }

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
    fn equal_values_one_pair_and_none() {
        let same = PairedDifference::of(&[(0.5, 0.5), (0.25, 0.25)]).unwrap();
        assert_eq!((same.interval.mean, same.p), (0.0, Some(1.0)));
        let shifted = PairedDifference::of(&[(1.5, 1.0), (2.5, 2.0)]).unwrap();
        assert_eq!((shifted.interval.mean, shifted.p), (0.5, Some(0.0)));
        assert_eq!(PairedDifference::of(&[(1.0, 0.0)]).unwrap().p, None);
        assert_eq!(PairedDifference::of(&[]), None);
        assert_eq!(PairedDifference::of(&[(f64::NAN, 0.0)]), None);
    }

    #[test]
    fn an_interval_is_mean_and_t_times_standard_error() {
        let interval = Interval::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(interval.mean, 2.0);
        assert!((interval.half_width.unwrap() - 4.303 / 3f64.sqrt()).abs() < 1e-3);
        assert_eq!(format!("{interval}"), "2.0 ± 2.5");
        assert_eq!(format!("{:.2}", Interval::of(&[0.5]).unwrap().scaled(100.0)), "50.00");
        assert_eq!(Interval::of(&[]), None);
        assert_eq!(Interval::of(&[f64::NAN]), None);
    }
}
