//! What an epoch's steps reported, added up.

use std::collections::BTreeMap;

use candle_core::{D, Tensor};
use tcmax_estimators::Labels;
use tcmax_losses::StepOutput;

use crate::{Result, Truth};

/// Sums over the batches of an epoch, weighted by their examples.
pub(super) struct EpochSums {
    pub(super) examples: usize,
    pub(super) loss: f64,
    /// Of this member's rows where a step sees these alone.
    pub(super) right: usize,
    has_classes: bool,
    pub(super) bound: f64,
    pub(super) bounded: bool,
    metrics: BTreeMap<String, f64>,
}

impl EpochSums {
    pub(super) fn new() -> Self {
        Self {
            examples: 0,
            loss: 0.0,
            right: 0,
            has_classes: true,
            bound: 0.0,
            bounded: false,
            metrics: BTreeMap::new(),
        }
    }

    /// Of the fused prediction, if there are classes.
    pub(super) fn accuracy(&self) -> f64 {
        if self.has_classes { self.right as f64 / self.examples as f64 } else { f64::NAN }
    }

    /// Adds a step on so many `examples` of all members, of which it saw those of `truth`.
    pub(super) fn add(
        &mut self,
        output: &StepOutput,
        truth: &Truth,
        examples: usize,
    ) -> Result<()> {
        match truth {
            Truth::Classes(labels) => self.right += right(&output.logits, labels)?,
            Truth::Other(_) => self.has_classes = false,
        }
        self.loss += output.loss * examples as f64;
        if let Some(bound) = output.total_correlation {
            self.bound += bound * examples as f64;
            self.bounded = true;
        }
        for (name, value) in &output.metrics {
            *self.metrics.entry(name.clone()).or_default() += value * examples as f64;
        }
        self.examples += examples;
        Ok(())
    }

    /// Means of the metrics of methods.
    pub(super) fn mean_metrics(self) -> BTreeMap<String, f64> {
        let examples = self.examples as f64;
        self.metrics.into_iter().map(|(name, sum)| (name, sum / examples)).collect()
    }
}

/// How many examples the class of the highest logit is right of.
fn right(logits: &Tensor, labels: &Labels) -> Result<usize> {
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    Ok(predicted.iter().zip(&truth).filter(|(guess, y)| guess == y).count())
}
