//! One epoch: steps on batches, then validation.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, Tensor};
use tcmax_data::Batch;
use tcmax_estimators::Labels;
use tcmax_losses::{Clock, Step, StepOutput, Target, Targets, Update};
use tcmax_ops::Seed;

use super::run::Run;
use crate::absence::marginals_of;
use crate::results::{EpochRecord, Evaluation, StepRecord};
use crate::schedule::Position;
use crate::{EncodedSplit, Error, Result, Task, Truth, evaluate};

impl Run<'_> {
    /// Trains and validates the next epoch.
    pub(super) fn epoch(
        &mut self,
        on_step: &mut dyn FnMut(&Self, &StepRecord) -> Result<()>,
    ) -> Result<EpochRecord> {
        let start = Instant::now();
        let epoch = self.history.len();
        self.freeze(epoch)?;
        self.context(epoch)?;
        let mut sums = EpochSums::new();
        let seed = Seed::new(self.seed).stream("epoch").index(epoch as u64);
        let mut first_rate = None;
        for (number, batch) in self.train.epoch(seed).enumerate() {
            let clock = self.clock(epoch, number);
            let rate = self.set_rate(clock)?;
            first_rate.get_or_insert(rate);
            let noise = seed.stream("step").index(number as u64);
            let output =
                self.step(&batch?, clock, noise, &mut sums).map_err(|error| match error {
                    Error::Loss(tcmax_losses::Error::NotFinite { value }) => {
                        Error::NotFinite { epoch: epoch + 1, batch: number + 1, value }
                    }
                    other => other,
                })?;
            on_step(self, &self.step_record(clock, rate, &output))?;
        }
        let validation = self.updates.with_average(|| self.validate())?;
        if let Some(validation) = &validation {
            self.schedule.observe(self.config.schedule_metric(validation));
        }
        let record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: first_rate.unwrap_or_default(),
            train_loss: sums.loss / sums.examples as f64,
            train_accuracy: sums.accuracy(),
            train_total_correlation: sums.bounded.then(|| sums.bound / sums.examples as f64),
            validation,
            seconds: start.elapsed().as_secs_f64(),
            metrics: sums.mean_metrics(),
        };
        let weights = || self.updates.weights();
        self.best.offer(&record, self.config.config().train.keep, weights)?;
        self.history.push(record.clone());
        Ok(record)
    }

    /// Encoders stay as they are in their first epochs, if they are to.
    fn freeze(&mut self, epoch: usize) -> Result<()> {
        let frozen: Vec<(String, bool)> = self
            .model
            .encoder_training()
            .filter(|(_, training)| training.frozen_epochs > 0)
            .map(|(prefix, training)| (prefix.to_owned(), epoch < training.frozen_epochs))
            .collect();
        for (prefix, frozen) in frozen {
            self.updates.set_frozen(&prefix, frozen)?;
            self.model.set_frozen(&prefix, frozen);
        }
        Ok(())
    }

    /// Sets the learning rate of the step that a batch belongs to, and returns it.
    fn set_rate(&mut self, clock: Clock) -> Result<f64> {
        let accumulate = self.config.config().train.accumulate;
        let steps = clock.batches.div_ceil(accumulate);
        let epochs = self.config.schedule_epochs();
        let at = Position::new(clock.epoch, clock.batch / accumulate, epochs, steps);
        let rate = self.schedule.rate(at);
        self.updates.set_rate(rate, self.schedule.momentum(at))?;
        Ok(rate)
    }

    /// One step on one batch.
    fn step(
        &mut self,
        batch: &Batch,
        clock: Clock,
        seed: Seed,
        sums: &mut EpochSums,
    ) -> Result<StepOutput> {
        let truth = self.targets(batch)?;
        let features = self.model.features(batch, true)?;
        let accumulate = self.config.config().train.accumulate;
        let ends = (clock.batch + 1).is_multiple_of(accumulate) || clock.batch + 1 == clock.batches;
        let updates = &mut self.updates;
        updates.begin_batch();
        let mut update = |gradients: &mut GradStore| updates.apply(gradients, ends);
        let (head, groups) = (self.model.head(), self.model.groups());
        let (features, rows, update) =
            (&features[..], &batch.indices[..], &mut update as &mut Update<'_>);
        let output = match &truth {
            Truth::Classes(labels) => self.method.step(&mut Step {
                head,
                features,
                labels,
                rows,
                groups,
                clock,
                seed,
                update,
            }),
            Truth::Other(labels) => self.method.step_on(&mut Step {
                head,
                features,
                labels,
                rows,
                groups,
                clock,
                seed,
                update,
            }),
        }?;
        self.updates.check_accumulation(self.config.method().name)?;
        sums.add(&output, &truth)?;
        Ok(output)
    }

    /// What a batch is to be predicted as: labels smoothed and weighted, numbers standardised, if they are to be.
    fn targets(&self, batch: &Batch) -> Result<Truth> {
        let labels = match Truth::of_batch(batch, &self.model)? {
            Truth::Classes(labels) => labels,
            Truth::Other(targets) if targets.task() == Task::Regression => {
                let values = self.model.standardised(targets.values())?;
                return Ok(Truth::Other(Targets::numbers(values)?));
            }
            other => return Ok(other),
        };
        let labels = labels.smoothed(self.config.config().train.label_smoothing)?;
        Ok(Truth::Classes(match &self.class_weights {
            Some(weights) => labels.weighted(weights)?,
            None => labels,
        }))
    }

    fn step_record(&self, clock: Clock, learning_rate: f64, output: &StepOutput) -> StepRecord {
        StepRecord {
            epoch: clock.epoch + 1,
            batch: clock.batch + 1,
            step: clock.epoch * clock.batches + clock.batch + 1,
            learning_rate,
            loss: output.loss,
            total_correlation: output.total_correlation,
            gradient_norm: self.updates.norm(),
            metrics: output.metrics.iter().cloned().collect(),
        }
    }

    /// Evaluates the validation split, where there is one. Where it lacks modalities these are averaged out
    /// over the training split, as in the test.
    fn validate(&self) -> Result<Option<Evaluation>> {
        let Some(validation) = &self.validation else { return Ok(None) };
        let modalities = self.splits.train.modalities().len();
        let split = EncodedSplit::of(&self.model, validation)?;
        let marginals = match split.present.is_complete() {
            true => None,
            false => {
                let train = self.loader_of(&self.splits.train)?;
                let train = EncodedSplit::of(&self.model, &train)?;
                Some(marginals_of(&self.model, &train, Seed::new(self.seed))?)
            }
        };
        let mut validation = evaluate(&self.classifier(marginals.as_ref()), &split, modalities)?;
        // A thousand classes would be a million counts an epoch in every checkpoint.
        validation.confusion = Vec::new();
        Ok(Some(validation))
    }
}

/// Sums over the batches of an epoch, weighted by their examples.
struct EpochSums {
    examples: usize,
    loss: f64,
    right: usize,
    has_classes: bool,
    bound: f64,
    bounded: bool,
    metrics: BTreeMap<String, f64>,
}

impl EpochSums {
    fn new() -> Self {
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

    fn accuracy(&self) -> f64 {
        if self.has_classes { self.right as f64 / self.examples as f64 } else { f64::NAN }
    }

    fn add(&mut self, output: &StepOutput, truth: &Truth) -> Result<()> {
        let examples = truth.examples();
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

    fn mean_metrics(self) -> BTreeMap<String, f64> {
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
