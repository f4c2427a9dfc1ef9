//! One epoch: steps on batches, then validation.

use std::time::Instant;

use tcmax_losses::{Clock, Reported, reported};
use tcmax_ops::{Seed, keep_awake};

use super::run::Run;
use super::sums::{EpochSums, Stepped};
use crate::absence::marginals_of;
use crate::results::{EpochRecord, Evaluation, FeatureInformation, StepRecord};
use crate::schedule::Position;
use crate::{EncodedSplit, Error, Result, evaluate};

/// Steps whose losses are read together, where a device computes them.
const MOST_WAITING: usize = 20;

/// A step whose report has yet to be read.
struct Waiting {
    stepped: Stepped,
    clock: Clock,
    rate: f64,
    /// The norm of its gradients, where it was computed.
    norm: Option<Reported>,
}

impl Waiting {
    /// What it reported.
    ///
    /// # Errors
    /// When the loss is not finite.
    fn record(&self, steps_before: usize) -> Result<StepRecord> {
        let (output, clock) = (&self.stepped.output, self.clock);
        let loss = output.loss.value()?;
        if !loss.is_finite() {
            return Err(not_finite(clock, loss));
        }
        let number = |reported: Option<&Reported>| reported.map(Reported::value).transpose();
        Ok(StepRecord {
            epoch: clock.epoch + 1,
            batch: clock.batch + 1,
            step: steps_before + clock.batch + 1,
            learning_rate: self.rate,
            loss,
            total_correlation: number(output.total_correlation.as_ref())?,
            gradient_norm: number(self.norm.as_ref())?,
            metrics: output.metrics.iter().cloned().collect(),
        })
    }
}

fn not_finite(clock: Clock, value: f64) -> Error {
    Error::NotFinite { epoch: clock.epoch + 1, batch: clock.batch + 1, value }
}

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
        let (mut first_rate, mut waiting) = (None, Vec::new());
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
            let batch = batch?;
            let later = self.reads_later;
            let step = || keep_awake(|| self.step((&batch, &only), clock, noise));
            let stepped = reported(later, step).map_err(|error| match error {
                Error::Loss(tcmax_losses::Error::NotFinite { value }) => not_finite(clock, value),
                other => other,
            })?;
            waiting.push(Waiting { stepped, clock, rate, norm: self.updates.norm().cloned() });
            if waiting.len() == MOST_WAITING || waiting.iter().all(|step| step.stepped.is_known()) {
                self.read(&mut waiting, steps_before, &mut sums, on_step)?;
            }
        }
        self.read(&mut waiting, steps_before, &mut sums, on_step)?;
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

    /// Reads what steps have reported, adds it up, and tells of each.
    fn read(
        &self,
        waiting: &mut Vec<Waiting>,
        steps_before: usize,
        sums: &mut EpochSums,
        on_step: &mut dyn FnMut(&Self, &StepRecord) -> Result<()>,
    ) -> Result<()> {
        for step in waiting.drain(..) {
            let record = step.record(steps_before)?;
            sums.add(&step.stepped, &record)?;
            on_step(self, &record)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;
    use tcmax_data::{Column, Modality, ModalityKind, Splits, TableDataset};
    use tcmax_ops::Members;

    use super::*;
    use crate::identity::Identified;
    use crate::{CheckedConfig, Choice, TrainConfig};

    /// 110 examples of two modalities, whose numbers are the class and some noise.
    fn splits() -> Splits {
        const EXAMPLES: usize = 110;
        let modality = |name: &str| Modality {
            name: name.to_owned(),
            kind: ModalityKind::Features,
            shape: vec![3],
        };
        let modalities = Arc::new(vec![modality("a"), modality("b")]);
        let noise = |at: usize| ((at * 37 % 101) as f32 / 50.0 - 1.0) * 2.0;
        let items = |of: usize| {
            let value = move |at: usize| ((at / 3) % 4) as f32 + noise(at * 7 + of);
            Arc::new((0..3 * EXAMPLES).map(value).collect::<Vec<f32>>())
        };
        let column = |of| Column { items: items(of), rows: (0..EXAMPLES).collect(), blanks: None };
        let dataset = Arc::new(TableDataset {
            modalities,
            classes: Arc::new(["0", "1", "2", "3"].map(str::to_owned).to_vec()),
            labels: (0..EXAMPLES).map(|row| (row % 4) as u32).collect(),
            columns: vec![column(0), column(1)],
            identities: None,
        });
        Splits { train: dataset.clone(), validation: dataset.clone(), test: dataset }
    }

    fn config(method: Choice, rate: f64) -> CheckedConfig {
        let mut config = TrainConfig {
            method,
            encoder: Choice::named("mlp").with("widths", vec![8]),
            optimiser: Choice::named("sgd").with("learning-rate", rate),
            ..TrainConfig::default()
        };
        // 55 steps, which are more than wait at a time, and no multiple of them.
        (config.train.epochs, config.train.batch_size, config.train.workers) = (1, 2, 0);
        config.train.information_every = Some(0);
        config.train.standardise = false;
        config.train.clip_norm = Some(0.1);
        config.check().unwrap()
    }

    /// An epoch and its steps, read now or later; or how it failed.
    fn epoch(method: Choice, rate: f64, later: bool) -> Result<(EpochRecord, Vec<StepRecord>)> {
        let (config, splits) = (config(method, rate), splits());
        let data = Identified::of(&splits)?;
        let device = (&Device::Cpu, true);
        let mut run = Run::new(&config, &splits, data, 1, device, Members::alone())?;
        run.reads_later = later;
        let mut steps = Vec::new();
        let record = run.epoch(&mut |_, step| {
            steps.push(step.clone());
            Ok(())
        })?;
        Ok((EpochRecord { seconds: 0.0, ..record }, steps))
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-5 * b.abs().max(1.0)
    }

    #[test]
    fn what_is_read_later_is_what_would_have_been_read_at_once() {
        for method in [
            Choice::named("joint"),
            Choice::named("tcmax"),
            Choice::named("tcmax").with("weight", 0.3),
            Choice::named("ogm-ge"),
            Choice::named("unimodal"),
        ] {
            let (now, steps) = epoch(method.clone(), 0.01, false).unwrap();
            let (later, steps_later) = epoch(method.clone(), 0.01, true).unwrap();
            assert_eq!([steps.len(), steps_later.len()], [55; 2]);
            for (later, now) in steps_later.iter().zip(&steps) {
                assert_eq!([later.step, later.batch], [now.step, now.batch]);
                assert!(close(later.loss, now.loss), "{method:?}: {} {}", later.loss, now.loss);
                let [a, b] = [later, now].map(|step| step.total_correlation);
                assert_eq!(a.is_some(), b.is_some());
                assert!(a.zip(b).is_none_or(|(a, b)| close(a, b)), "{method:?}: {a:?} {b:?}");
                let [a, b] = [later, now].map(|step| step.gradient_norm.unwrap());
                assert!(close(a, b), "{method:?}: {a} {b}");
            }
            assert!(steps.iter().any(|step| step.gradient_norm.unwrap() > 0.1), "none is clipped");
            assert!(close(later.train_loss, now.train_loss));
            assert_eq!(later.train_accuracy, now.train_accuracy, "{method:?}");
            assert_eq!(later.validation, now.validation, "{method:?}: other steps were made");
        }
    }

    #[test]
    fn a_loss_that_is_no_number_is_found_when_it_is_read() {
        let problem = |later| match epoch(Choice::named("joint"), 1e30, later) {
            Err(Error::NotFinite { epoch, batch, .. }) => (epoch, batch),
            other => panic!("{other:?}"),
        };
        assert_eq!(problem(true), problem(false));
    }
}
