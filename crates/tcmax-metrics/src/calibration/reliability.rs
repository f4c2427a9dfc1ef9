//! Confidence against accuracy (Guo et al. 2017, "On Calibration of Modern Neural Networks").

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, require_length};
use crate::nullable;

/// Predictions in bins of equal width by their confidence: the data of a reliability diagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// The bins, from confidence 0 to 1.
    pub bins: Vec<ReliabilityBin>,
    /// Expected calibration error: sum_b n_b / N |accuracy_b - confidence_b|.
    pub ece: f64,
    /// Largest calibration error: the largest |accuracy_b - confidence_b| of a bin that is not empty.
    pub mce: f64,
}

/// The predictions with a confidence in (low, high]; the first bin has those of 0 too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The lower edge.
    pub low: f64,
    /// The upper edge.
    pub high: f64,
    /// The number of predictions.
    pub count: u64,
    /// Their mean confidence; NaN when there is none.
    #[serde(with = "nullable")]
    pub confidence: f64,
    /// The fraction of them that is right; NaN when there is none.
    #[serde(with = "nullable")]
    pub accuracy: f64,
}

impl ReliabilityBin {
    /// |accuracy - confidence|; NaN when the bin is empty.
    pub fn gap(&self) -> f64 {
        (self.accuracy - self.confidence).abs()
    }
}

/// More would not be looked at, and each takes memory.
const MOST_BINS: usize = 10_000;

impl Reliability {
    /// Of confidences (N,), the probabilities of the predicted classes, and whether each prediction is right.
    ///
    /// ```
    /// use tcmax_metrics::Reliability;
    ///
    /// let reliability = Reliability::of(&[0.9, 0.8, 0.6], &[true, false, true], 2)?;
    /// // All in the upper half: accuracy 2/3 where the confidence is 0.7667.
    /// assert_eq!(reliability.bins[1].count, 3);
    /// assert!((reliability.ece - 0.1).abs() < 1e-12 && reliability.ece == reliability.mce);
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without predictions, when the lengths differ, when a confidence is not in [0, 1], and without bins or with
    /// more than 10,000.
    pub fn of(confidences: &[f64], correct: &[bool], bins: usize) -> Result<Self> {
        if confidences.is_empty() {
            return Err(Error::Empty { what: "the list of confidences", unit: "row" });
        }
        if !(1..=MOST_BINS).contains(&bins) {
            let wanted = "from 1 to 10,000";
            return Err(Error::BadParameter { name: "bins", value: bins as f64, wanted });
        }
        let why = || "one per confidence".to_owned();
        require_length("correct", correct.len(), confidences.len(), why)?;
        if let Some(row) = confidences.iter().position(|c| !(0.0..=1.0).contains(c)) {
            let (value, wanted) = (confidences[row], "from 0 to 1");
            return Err(Error::BadValue { what: "confidence", row, column: 0, value, wanted });
        }
        let mut sums = vec![(0u64, 0.0, 0u64); bins];
        for (confidence, correct) in confidences.iter().zip(correct) {
            let (count, sum, right) = &mut sums[bin_of(*confidence, bins)];
            *count += 1;
            *sum += confidence;
            *right += u64::from(*correct);
        }
        let bins: Vec<ReliabilityBin> = sums
            .into_iter()
            .enumerate()
            .map(|(bin, (count, sum, right))| ReliabilityBin {
                low: edge(bin, bins),
                high: edge(bin + 1, bins),
                count,
                confidence: sum / count as f64,
                accuracy: right as f64 / count as f64,
            })
            .collect();
        let filled = || bins.iter().filter(|bin| bin.count > 0);
        let weighted = filled().map(|bin| bin.count as f64 / confidences.len() as f64 * bin.gap());
        let (ece, mce) = (weighted.sum(), filled().map(ReliabilityBin::gap).fold(0.0, f64::max));
        Ok(Self { bins, ece, mce })
    }
}

fn edge(bin: usize, bins: usize) -> f64 {
    bin as f64 / bins as f64
}

/// The bin whose edges, as rounded, enclose the confidence.
fn bin_of(confidence: f64, bins: usize) -> usize {
    let mut bin = ((confidence * bins as f64) as usize).min(bins - 1);
    // The product is rounded too, and upper edges belong to the bin below them.
    while bin > 0 && confidence <= edge(bin, bins) {
        bin -= 1;
    }
    while bin + 1 < bins && confidence > edge(bin + 1, bins) {
        bin += 1;
    }
    bin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_edges_belong_to_the_bin_below() {
        for bins in [1, 2, 3, 7, 10, 15, 100] {
            for bin in 0..bins {
                assert_eq!(bin_of(edge(bin + 1, bins), bins), bin);
                assert_eq!(bin_of(edge(bin, bins).next_up(), bins), bin);
            }
            assert_eq!(bin_of(0.0, bins), 0);
        }
    }
}
