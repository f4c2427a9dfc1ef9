//! What is measured row by row: prediction, rank of the label, confidence, log loss, Brier score.

use rayon::prelude::*;

use crate::predictions::{Predictions, first_largest};

/// Values of all rows, and means of some.
pub(crate) struct RowScores {
    /// The class of the largest score, the first of equals.
    pub(crate) predicted: Vec<u32>,
    /// How many classes come before the label.
    pub(crate) ranks: Vec<u32>,
    /// The largest probability.
    pub(crate) confidences: Vec<f64>,
    pub(crate) log_loss: f64,
    pub(crate) log_loss_clipped: f64,
    pub(crate) brier: f64,
}

struct Row {
    predicted: u32,
    rank: u32,
    confidence: f64,
    log_probability: f64,
    probability: f64,
    brier: f64,
}

impl RowScores {
    pub(crate) fn of(predictions: &Predictions<'_>) -> Self {
        let chunks = predictions.scores().par_chunks_exact(predictions.classes());
        let rows: Vec<Row> = chunks
            .zip(predictions.labels())
            .map(|(scores, label)| Row::of(predictions, scores, *label as usize))
            .collect();
        // Summed in the order of rows, so that the result is the same for every number of threads.
        let mean =
            |value: &dyn Fn(&Row) -> f64| rows.iter().map(value).sum::<f64>() / rows.len() as f64;
        let clipped = |p: f64| -p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        Self {
            predicted: rows.iter().map(|row| row.predicted).collect(),
            ranks: rows.iter().map(|row| row.rank).collect(),
            confidences: rows.iter().map(|row| row.confidence).collect(),
            log_loss: mean(&|row| -row.log_probability),
            log_loss_clipped: mean(&|row| clipped(row.probability)),
            brier: mean(&|row| row.brier),
        }
    }
}

impl Row {
    fn of(predictions: &Predictions<'_>, scores: &[f64], label: usize) -> Self {
        let normaliser = predictions.normaliser(scores);
        let first = first_largest(scores);
        let own = scores[label];
        let (mut rank, mut brier) = (0, 0.0);
        for (class, &score) in scores.iter().enumerate() {
            if class != label {
                rank += u32::from(score > own || (score == own && class < label));
                brier += normaliser.probability(score).powi(2);
            }
        }
        let probability = normaliser.probability(own);
        Self {
            predicted: first as u32,
            rank,
            confidence: normaliser.probability(scores[first]),
            log_probability: normaliser.log_probability(own),
            probability,
            brier: brier + (1.0 - probability).powi(2),
        }
    }
}
