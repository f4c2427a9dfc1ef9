//! Mean and 95% interval over seeds.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compare::student::quantile;

/// A mean with the half width of its 95% Student-t interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the interval's width; `None` for fewer than two values.
    pub half_width: Option<f64>,
}

impl Interval {
    /// The interval of some values; `None` when there is none, or one is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (mean, variance) = mean_and_variance(values)?;
        let n = values.len() as f64;
        let half_width = variance.map(|var| quantile(n - 1.0) * (var / n).sqrt());
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

/// The mean, and the unbiased variance of two or more values; `None` when there is none, or one is not finite.
pub(crate) fn mean_and_variance(values: &[f64]) -> Option<(f64, Option<f64>)> {
    if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = (values.len() > 1)
        .then(|| values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0));
    Some((mean, variance))
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
