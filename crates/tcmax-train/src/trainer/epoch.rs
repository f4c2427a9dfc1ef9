//! One epoch: steps on batches, then validation.

use std::time::Instant;

use tcmax_losses::{Clock, StepOutput};
use tcmax_ops::Seed;

use super::run::Run;
use super::sums::EpochSums;
use crate::absence::marginals_of;
use crate::results::{EpochRecord, Evaluation, FeatureInformation, StepRecord};
use crate::schedule::Position;
use crate::{EncodedSplit, Error, Result, evaluate};

impl Run<'_> {
    /// Trains and validates the next epoch.
    pub(super) fn epoch(
        &mut self,
        on_step: &mut dyn FnMut(&Self, &StepRecord) -> Result<()>,
    ) -> Result<EpochRecord> {
        let start = Instant::now();
        let epoch = self.history.len();
        self.freeze(epoch)?;
        let plan = self.context(epoch)?;
        let mut sums = EpochSums::new();
        let seed = Seed::new(self.seed).stream("epoch").index(epoch as u64);
        let mut first_rate = None;
        let (batches, count) = self.batches(plan.as_ref(), seed)?;
        let steps_before = self.steps_before();
        for (number, batch) in batches.enumerate() {
            let clock = self.clock(epoch, (number, count));
            let only =
                plan.as_ref().map(|plan| plan.batches[number].iter().map(|example| example.only));
            let only: Vec<Option<usize>> = only.into_iter().flatten().collect();
            let rate = self.set_rate(clock)?;
            first_rate.get_or_insert(rate);
            let noise = seed.stream("step").index(number as u64);
            let output =
                self.step((&batch?, &only), clock, noise, &mut sums).map_err(
                    |error| match error {
                        Error::Loss(tcmax_losses::Error::NotFinite { value }) => {
                            Error::NotFinite { epoch: epoch + 1, batch: number + 1, value }
                        }
                        other => other,
                    },
                )?;
            on_step(self, &self.step_record((clock, steps_before), rate, &output))?;
        }
        sums.right = self.right_of_all(sums.right)?;
        self.share_buffers()?;
        let validated = self.updates.with_average(|| self.validate(epoch + 1))?;
        let (validation, information) = validated.unzip();
        let usable = self.method.is_usable_after(epoch);
        // What cannot be used says nothing of how training goes on.
        if let Some(validation) = validation.as_ref().filter(|_| usable) {
            self.schedule.observe(self.config.schedule_metric(validation));
        }
        let record = EpochRecord {
            epoch: epoch + 1,
            learning_rate: first_rate.unwrap_or_default(),
            train_loss: sums.loss / sums.examples as f64,
            train_accuracy: sums.accuracy(),
            train_total_correlation: sums.bounded.then(|| sums.bound / sums.examples as f64),
            usable,
            planned_batches: plan.map(|_| count),
            validation,
            information: information.flatten(),
            seconds: start.elapsed().as_secs_f64(),
            metrics: sums.mean_metrics(),
        };
        let weights = || self.updates.weights();
        self.best.offer(&record, self.config.config().train.keep, weights)?;
        self.history.push(record.clone());
        Ok(record)
    }

    /// Encoders stay as they are in their first epochs, if they are to, and where the method freezes them.
    fn freeze(&mut self, epoch: usize) -> Result<()> {
        let by_method = |epoch| self.method.freezes_encoders(epoch);
        let (now, before) = (by_method(epoch), epoch > 0 && by_method(epoch - 1));
        let frozen: Vec<(String, bool)> = self
            .model
            .encoder_training()
            .filter(|(_, training)| training.frozen_epochs > 0 || now || before)
            .map(|(prefix, training)| (prefix.to_owned(), now || epoch < training.frozen_epochs))
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

    fn step_record(
        &self,
        (clock, steps_before): (Clock, usize),
        learning_rate: f64,
        output: &StepOutput,
    ) -> StepRecord {
        StepRecord {
            epoch: clock.epoch + 1,
            batch: clock.batch + 1,
            step: steps_before + clock.batch + 1,
            learning_rate,
            loss: output.loss,
            total_correlation: output.total_correlation,
            gradient_norm: self.updates.norm(),
            metrics: output.metrics.iter().cloned().collect(),
        }
    }

    /// Evaluates the validation split, where there is one, and measures the information in its features, where the epoch
    /// (from 1) is one of those. Where it lacks modalities these are averaged out over the training split, as in the
    /// test.
    fn validate(&self, epoch: usize) -> Result<Option<(Evaluation, Option<FeatureInformation>)>> {
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
        let information = self.information_after(epoch, (&split, &validation))?;
        Ok(Some((validation, information)))
    }
}
