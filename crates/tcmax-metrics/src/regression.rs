//! Metrics of predicted numbers.

use serde::{Deserialize, Serialize};

use crate::classification::defined_mean;
use crate::error::{Error, Result, require_finite, require_length, require_rows};
use crate::nullable;

/// Errors of predicted numbers (N, D). With several outputs each metric is the mean over the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// The number of rows N.
    pub rows: u64,
    /// Mean squared error, in squared units of the target.
    pub mse: f64,
    /// Mean absolute error, in units of the target.
    pub mae: f64,
    /// 1 - sum (y - prediction)^2 / sum (y - mean of y)^2; NaN where a target is constant, whose outputs are
    /// left out of the mean.
    #[serde(with = "nullable")]
    pub r2: f64,
    /// Pearson's correlation of predictions and targets; NaN where either is constant, whose outputs are left
    /// out of the mean.
    #[serde(with = "nullable")]
    pub pearson: f64,
}

impl Regression {
    /// Of predictions and targets (N, D), row by row, with D `outputs`.
    ///
    /// ```
    /// use tcmax_metrics::Regression;
    ///
    /// let metrics = Regression::of(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0], 1)?;
    /// assert_eq!((metrics.mse, metrics.mae, metrics.r2), (1.0 / 3.0, 1.0 / 3.0, 0.5));
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without rows or outputs, when the lengths differ or are not rows of D, and when a value is not finite.
    pub fn of(predictions: &[f64], targets: &[f64], outputs: usize) -> Result<Self> {
        if outputs == 0 {
            return Err(Error::Empty { what: "the list of outputs", unit: "output" });
        }
        if targets.is_empty() {
            return Err(Error::Empty { what: "the list of targets", unit: "row" });
        }
        let rows = targets.len() / outputs;
        require_rows("targets", targets.len(), rows.max(1), outputs)?;
        let why = || "one per target".to_owned();
        require_length("predictions", predictions.len(), targets.len(), why)?;
        require_finite("prediction", predictions, outputs)?;
        require_finite("target", targets, outputs)?;
        let pairs = || predictions.iter().zip(targets);
        let n = targets.len() as f64;
        let over_outputs = |metric: fn(&[f64], &[f64]) -> f64| {
            let of_output = |output: usize| {
                let column = |values: &[f64]| {
                    values.iter().skip(output).step_by(outputs).copied().collect::<Vec<_>>()
                };
                (metric(&column(predictions), &column(targets)), 1.0)
            };
            defined_mean((0..outputs).map(of_output))
        };
        Ok(Self {
            rows: rows as u64,
            mse: pairs().map(|(p, y)| (y - p).powi(2)).sum::<f64>() / n,
            mae: pairs().map(|(p, y)| (y - p).abs()).sum::<f64>() / n,
            r2: over_outputs(r2),
            pearson: over_outputs(pearson),
        })
    }

    /// Root mean squared error, in units of the target (over all outputs together).
    pub fn rmse(&self) -> f64 {
        self.mse.sqrt()
    }
}

/// The share of the target's variance that the predictions explain.
fn r2(predictions: &[f64], targets: &[f64]) -> f64 {
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let residual: f64 = predictions.iter().zip(targets).map(|(p, y)| (y - p).powi(2)).sum();
    let total: f64 = targets.iter().map(|y| (y - mean).powi(2)).sum();
    // The mean of equal numbers may be rounded, so the sum of squares does not tell them.
    if targets.iter().all(|y| *y == targets[0]) { f64::NAN } else { 1.0 - residual / total }
}

/// The correlation of two columns.
fn pearson(predictions: &[f64], targets: &[f64]) -> f64 {
    let is_constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    if is_constant(predictions) || is_constant(targets) {
        return f64::NAN;
    }
    let n = targets.len() as f64;
    let centred = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / n;
        values.iter().map(|value| value - mean).collect::<Vec<f64>>()
    };
    let (p, y) = (centred(predictions), centred(targets));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    (product(&p, &y) / (product(&p, &p).sqrt() * product(&y, &y).sqrt())).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_outputs_are_averaged() {
        // scikit-learn 1.9.1: r2_score([[0, 1], [1, 3], [2, 2]], [[0, 1], [1, 2], [1, 2]]) is 0.5.
        let targets = [0.0, 1.0, 1.0, 3.0, 2.0, 2.0];
        let predictions = [0.0, 1.0, 1.0, 2.0, 1.0, 2.0];
        let metrics = Regression::of(&predictions, &targets, 2).unwrap();
        assert_eq!((metrics.rows, metrics.r2, metrics.mse), (3, 0.5, 1.0 / 3.0));
    }

    #[test]
    fn a_constant_target_has_no_r2() {
        let metrics = Regression::of(&[0.0, 0.2], &[0.1, 0.1], 1).unwrap();
        assert!(metrics.r2.is_nan() && (metrics.rmse() - 0.1).abs() < 1e-15);
        assert!(serde_json::to_string(&metrics).unwrap().contains(r#""r2":null"#));
    }

    #[test]
    fn correlations_are_pearsons() {
        // numpy: corrcoef([1, 2, 4], [1, 3, 2]) is 0.3273268.
        let metrics = Regression::of(&[1.0, 2.0, 4.0], &[1.0, 3.0, 2.0], 1).unwrap();
        assert!((metrics.pearson - 0.327_326_835_353_988_6).abs() < 1e-15);
        assert!(Regression::of(&[1.0, 1.0], &[1.0, 3.0], 1).unwrap().pearson.is_nan());
        let linear = Regression::of(&[1.0, 2.0, 3.0], &[-2.0, -4.0, -6.0], 1).unwrap();
        assert!((linear.pearson + 1.0).abs() < 1e-15);
    }

    #[test]
    fn bad_values_are_named() {
        let error =
            |p: &[f64], y: &[f64], outputs| Regression::of(p, y, outputs).unwrap_err().to_string();
        let nan = error(&[0.0, 1.0, 2.0, f64::NAN], &[0.0; 4], 2);
        assert_eq!(nan, "row 1, column 1: the prediction is NaN; wanted a finite number");
        let uneven = error(&[0.0; 3], &[0.0; 3], 2);
        assert_eq!(uneven, "targets: got 3 values, wanted 2 (1 rows of 2)");
        assert!(Regression::of(&[], &[], 1).is_err() && Regression::of(&[0.0], &[0.0], 0).is_err());
    }
}
