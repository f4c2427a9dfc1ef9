//! Temperature scaling (Guo et al. 2017): one number T that divides all logits.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nullable;
use crate::predictions::{Predictions, first_largest};

/// The smallest and the largest temperature that is fitted.
const RANGE: [f64; 2] = [0.01, 100.0];

/// Newton's method converges in about ten steps; bisection, where it is needed, in fifty.
const MOST_STEPS: usize = 200;

/// The temperature T for which softmax(logits / T) has the least log loss on labelled rows. It changes no
/// prediction, and is to be fitted on rows that neither trained nor test the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// T, from 0.01 to 100: above 1 the logits are too confident.
    pub value: f64,
    /// Log loss in nats without scaling.
    #[serde(with = "nullable")]
    pub log_loss_before: f64,
    /// Log loss in nats with it.
    #[serde(with = "nullable")]
    pub log_loss_after: f64,
    /// Whether the best temperature lies beyond the range, as where every row is predicted right (T to 0) or
    /// logits are no better than none (T to infinity).
    pub at_limit: bool,
}

impl Temperature {
    /// Fits logits (N, C), row by row, to labels (N,). In 1/T the log loss is convex: Newton's method between
    /// bounds that close in.
    ///
    /// ```
    /// use tcmax_metrics::Temperature;
    ///
    /// // Three of four rows are right, at odds of 9 to 1: log 9 / T = log 3.
    /// let gap = 9f64.ln();
    /// let logits = [gap, 0.0, gap, 0.0, gap, 0.0, gap, 0.0];
    /// let temperature = Temperature::fit(&logits, &[0, 0, 0, 1], 2)?;
    /// assert!((temperature.value - 2.0).abs() < 1e-9);
    /// assert!((temperature.apply(&[4.0])[0] - 2.0).abs() < 1e-9);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Predictions::from_logits`], and when a label's own logit is -inf, for which no temperature helps.
    pub fn fit(logits: &[f64], labels: &[u32], classes: usize) -> Result<Self> {
        let predictions = Predictions::from_logits(logits, labels, classes)?;
        let rows = logits.chunks_exact(classes).zip(labels).enumerate();
        // The gap to the largest logit is what counts; it may overflow.
        let is_hopeless =
            |row: &[f64], label: u32| !(row[label as usize] - row[first_largest(row)]).is_finite();
        for (row, (scores, label)) in rows {
            if is_hopeless(scores, *label) {
                let (column, value) = (*label as usize, scores[*label as usize]);
                let wanted = "finite, being the label's";
                return Err(Error::BadValue { what: "logit", row, column, value, wanted });
            }
        }
        let [coldest, hottest] = RANGE;
        let (inverse, at_limit) = minimise(&predictions, 1.0 / hottest, 1.0 / coldest);
        Ok(Self {
            value: 1.0 / inverse,
            log_loss_before: Loss::at(&predictions, 1.0).value,
            log_loss_after: Loss::at(&predictions, inverse).value,
            at_limit,
        })
    }

    /// Logits divided by T.
    pub fn apply(&self, logits: &[f64]) -> Vec<f64> {
        logits.iter().map(|logit| logit / self.value).collect()
    }
}

/// The best 1/T between two bounds, and whether it is one of them.
fn minimise(predictions: &Predictions<'_>, mut low: f64, mut high: f64) -> (f64, bool) {
    if Loss::at(predictions, low).slope >= 0.0 {
        return (low, true);
    }
    if Loss::at(predictions, high).slope <= 0.0 {
        return (high, true);
    }
    let mut inverse = 1.0;
    for _ in 0..MOST_STEPS {
        let loss = Loss::at(predictions, inverse);
        if loss.slope < 0.0 {
            low = inverse;
        } else {
            high = inverse;
        }
        let newton = inverse - loss.slope / loss.curvature;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        let step = (next - inverse).abs();
        inverse = next;
        if step <= 1e-14 * inverse || loss.slope == 0.0 {
            break;
        }
    }
    (inverse, false)
}

/// The log loss as a function of b = 1/T: mean of log sum_c exp(b x_c) - b x_label, and its derivatives.
struct Loss {
    value: f64,
    slope: f64,
    curvature: f64,
}

impl Loss {
    fn at(predictions: &Predictions<'_>, inverse: f64) -> Self {
        let rows = predictions.scores().par_chunks_exact(predictions.classes());
        let rows = rows.zip(predictions.labels());
        let terms: Vec<[f64; 3]> =
            rows.map(|(row, label)| of_row(row, *label as usize, inverse)).collect();
        // Summed in the order of rows, so that the result is the same for every number of threads.
        let n = terms.len() as f64;
        let [value, slope, curvature] =
            [0, 1, 2].map(|i| terms.iter().map(|t| t[i]).sum::<f64>() / n);
        Self { value, slope, curvature }
    }
}

/// Loss, E[x] - x_label and Var[x] of one row under softmax(b x).
fn of_row(row: &[f64], label: usize, inverse: f64) -> [f64; 3] {
    let first = first_largest(row);
    let gap = |score: f64| score - row[first];
    let (mut others, mut sum, mut mean, mut square) = (0.0, 0.0, 0.0, 0.0);
    for (class, score) in row.iter().enumerate() {
        let weight = (inverse * gap(*score)).exp();
        // The gap of an excluded class is infinite.
        if weight > 0.0 {
            sum += weight;
            mean += weight * gap(*score);
            square += weight * gap(*score).powi(2);
        }
        if class != first {
            others += weight;
        }
    }
    let (mean, square) = (mean / sum, square / sum);
    [f64::ln_1p(others) - inverse * gap(row[label]), mean - gap(row[label]), square - mean * mean]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_log_loss_is_found() {
        let logits = [
            2.0, 1.0, -1.0, 0.5, 3.0, 0.0, 1.0, -2.0, 4.0, 3.0, 2.5, 0.0, 0.0, 0.2, 1.0, 2.0, 0.0,
            0.5,
        ];
        let temperature = Temperature::fit(&logits, &[0, 1, 2, 1, 0, 0], 3).unwrap();
        // scipy 1.17.1: 1 / brentq of the derivative, the log loss before and after.
        assert!((temperature.value - 0.8359095236760423).abs() < 1e-12);
        assert!((temperature.log_loss_before - 0.5720141722551468).abs() < 1e-14);
        assert!((temperature.log_loss_after - 0.5650269326468181).abs() < 1e-14);
        assert!(!temperature.at_limit);
    }

    #[test]
    fn there_may_be_no_best_temperature() {
        let right = Temperature::fit(&[1.0, 0.0, 0.0, 1.0], &[0, 1], 2).unwrap();
        assert!(right.at_limit && (right.value - 0.01).abs() < 1e-15);
        let wrong = Temperature::fit(&[1.0, 0.0, 0.0, 1.0], &[1, 0], 2).unwrap();
        assert!(wrong.at_limit && (wrong.value - 100.0).abs() < 1e-12);
        let constant = Temperature::fit(&[0.0; 4], &[1, 0], 2).unwrap();
        assert!(constant.at_limit);
    }

    #[test]
    fn extreme_logits_are_no_trouble() {
        let huge = [1e300, 0.0, 1e300, 0.0, 0.0, 1e300];
        let temperature = Temperature::fit(&huge, &[0, 1, 1], 2).unwrap();
        assert_eq!(temperature.value, 100.0);
        let excluded = [1.0, 0.0, f64::NEG_INFINITY, 0.5, 1.0, f64::NEG_INFINITY];
        let temperature = Temperature::fit(&excluded, &[1, 1], 3).unwrap();
        let without = Temperature::fit(&[1.0, 0.0, 0.5, 1.0], &[1, 1], 2).unwrap();
        assert_eq!(temperature, without);
        let error = Temperature::fit(&excluded, &[0, 2], 3).unwrap_err().to_string();
        assert_eq!(error, "row 1, column 2: the logit is -inf; wanted finite, being the label's");
    }
}
