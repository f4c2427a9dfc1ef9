//! What an epoch's steps reported, added up.

use std::collections::BTreeMap;

use candle_core::{D, DType, Tensor};
use tcmax_estimators::Labels;
use tcmax_losses::{Reported, StepOutput};

use crate::results::StepRecord;
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

    /// Adds a step, of what it reported as it was read.
    pub(super) fn add(&mut self, stepped: &Stepped, read: &StepRecord) -> Result<()> {
        match &stepped.right {
            Some(right) => self.right += right.value()? as usize,
            None => self.has_classes = false,
        }
        let examples = stepped.examples as f64;
        self.loss += read.loss * examples;
        if let Some(bound) = read.total_correlation {
            self.bound += bound * examples;
            self.bounded = true;
        }
        for (name, value) in &stepped.output.metrics {
            *self.metrics.entry(name.clone()).or_default() += value * examples;
        }
        self.examples += stepped.examples;
        Ok(())
    }

    /// Means of the metrics of methods.
    pub(super) fn mean_metrics(self) -> BTreeMap<String, f64> {
        let examples = self.examples as f64;
        self.metrics.into_iter().map(|(name, sum)| (name, sum / examples)).collect()
    }
}

/// A step that was made.
pub(super) struct Stepped {
    pub(super) output: StepOutput,
    /// How many examples the class of the highest logit is right of, if there are classes: of this member's rows where
    /// the step sees these alone.
    right: Option<Reported>,
    /// Examples of all members.
    examples: usize,
}

impl Stepped {
    /// Of a step on so many `examples` of all members, of which it saw those of `truth`.
    pub(super) fn new(output: StepOutput, truth: &Truth, examples: usize) -> Result<Self> {
        let right = match truth {
            Truth::Classes(labels) => Some(right(&output.logits, labels)?),
            Truth::Other(_) => None,
        };
        Ok(Self { output, right, examples })
    }

    /// Whether all that it reports can be had without waiting for a device.
    pub(super) fn is_known(&self) -> bool {
        let StepOutput { loss, total_correlation, .. } = &self.output;
        let all = [Some(loss), total_correlation.as_ref(), self.right.as_ref()];
        all.into_iter().flatten().all(Reported::is_known)
    }
}

/// How many examples the class of the highest logit is right of.
fn right(logits: &Tensor, labels: &Labels) -> Result<Reported> {
    let hits = logits.argmax(D::Minus1)?.eq(&labels.tensor()?)?;
    Ok(Reported::of(&hits.to_dtype(DType::F32)?.sum_all()?)?)
}
