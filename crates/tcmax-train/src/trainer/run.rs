//! A run between two epochs.

use std::sync::Arc;

use candle_core::Device;
use tcmax_data::{Dataset, Loader, Splits};
use tcmax_losses::{Clock, EpochPlan, Marginals, Method};
use tcmax_ops::{Members, Seed};

use super::best::{Best, is_stuck};
use super::loaders::{
    check_splits, check_task, class_weights, evaluation_loader, least_examples, training_loader,
};
use super::teacher::copy_of;
use super::update::Updates;
use crate::epoch_context::View;
use crate::identity::Identified;
use crate::pretrained::load_weights;
use crate::results::EpochRecord;
use crate::schedule::Schedule;
use crate::{CheckedConfig, Classifier, Model, Outputs, Result};

/// A run between two epochs.
pub(super) struct Run<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) splits: Splits,
    pub(super) seed: u64,
    pub(super) device: &'a Device,
    /// Whether losses are read later than their steps: a device computes while the next steps are handed to it.
    pub(super) reads_later: bool,
    pub(super) model: Model,
    pub(super) method: Box<dyn Method>,
    pub(super) updates: Updates,
    /// What the method made it, if it did.
    pub(super) teacher: Option<Model>,
    pub(super) schedule: Box<dyn Schedule>,
    /// The weight of each class in the loss; none where all examples weigh the same.
    pub(super) class_weights: Option<Vec<f64>>,
    pub(super) train: Loader,
    /// Absent where there is no validation split.
    pub(super) validation: Option<Loader>,
    pub(super) history: Vec<EpochRecord>,
    pub(super) best: Best,
    /// The epoch whose weights `model.safetensors` holds; 0 before this process has written it.
    pub(super) written: usize,
    /// Seconds that earlier processes spent on the run.
    pub(super) seconds_before: f64,
    pub(super) data: Identified,
    /// Once the run is finished.
    pub(super) marginals: Option<Marginals>,
    /// What became of pre-trained weights.
    pub(super) notes: Vec<String>,
}

impl<'a> Run<'a> {
    /// A run that starts, with pre-trained weights where the settings name some, or one whose state will be
    /// restored.
    pub(super) fn new(
        config: &'a CheckedConfig,
        splits: &'a Splits,
        identified: Identified,
        seed: u64,
        (device, is_new): (&'a Device, bool),
        members: Members,
    ) -> Result<Self> {
        check_splits(splits, config)?;
        let data = splits.train.as_ref();
        let outputs = Outputs::of(data);
        check_task(&config.config().train, outputs.task)?;
        let (modalities, of_run) = (data.modalities(), Seed::new(seed));
        let model = Model::of_members(config, modalities, outputs, of_run, device, members)?;
        model.standardise(data)?;
        let load = || if is_new { load_weights(&model) } else { Ok(Vec::new()) };
        let notes = tcmax_parallel::after_the_first(model.members().group().as_ref(), load)?;
        let method = model.method(config, data.len())?;
        let updates = Updates::new(config, &model, method.usual_clip_norm())?;
        let train = training_loader(config, splits.train.clone(), device)?;
        let validation = splits.validation.clone();
        let validation = (!validation.is_empty())
            .then(|| evaluation_loader(config, validation, device))
            .transpose()?;
        Ok(Self {
            config,
            splits: splits.clone(),
            seed,
            device,
            reads_later: !device.is_cpu(),
            method,
            updates,
            teacher: None,
            schedule: config.new_schedule()?,
            class_weights: class_weights(&config.config().train.class_weights, data)?,
            train,
            validation,
            history: Vec::new(),
            best: Best::none(),
            written: 0,
            seconds_before: 0.0,
            data: identified,
            marginals: None,
            notes,
            model,
        })
    }

    /// What to say when too few examples are left over.
    pub(super) fn joined_batch(&self) -> Option<String> {
        let (examples, size) = (self.splits.train.len(), self.config.config().train.batch_size);
        let joined = self.train.joined_examples();
        let left = if joined == 1 { "one".to_owned() } else { joined.to_string() };
        (joined > 0).then(|| {
            format!(
                "{examples} training examples in batches of {size} leave {left} over, too few for batch \
                 statistics: the last batch has {}",
                size + joined
            )
        })
    }

    /// Whether there was no better epoch for as long as the settings allow.
    pub(super) fn is_stuck(&self) -> bool {
        is_stuck(&self.history, self.config.config().train.patience)
    }

    pub(super) fn loader_of(&self, split: &Arc<dyn Dataset>) -> Result<Loader> {
        evaluation_loader(self.config, split.clone(), self.device)
    }

    pub(super) fn classifier<'b>(&'b self, marginals: Option<&'b Marginals>) -> Classifier<'b> {
        Classifier { model: &self.model, method: self.method.as_ref(), marginals }
    }

    /// Lets the method look at the data before an epoch, and plan its batches.
    pub(super) fn context(&mut self, epoch: usize) -> Result<Option<EpochPlan>> {
        let (model, config) = (&self.model, self.config);
        let modalities = self.splits.train.modalities();
        let (updates, teacher) = (&mut self.updates, &mut self.teacher);
        let epochs = config.config().train.epochs;
        let mut view = View {
            clock: Clock { epoch, epochs, batch: 0, batches: self.train.num_batches() },
            model,
            train: &self.train,
            validation: self.validation.as_ref(),
            // A name fixes the bits: this one is as old as the recorded results.
            seed: Seed::new(self.seed).stream("survey").index(epoch as u64),
            teach: &mut || {
                *teacher = Some(copy_of(model, config, modalities, &model.params().snapshot()?)?);
                Ok(())
            },
            reset: &mut || updates.forget(),
        };
        self.method.begin_epoch(&mut view)?;
        let least = least_examples(config);
        Ok(self.method.take_plan().map(|plan| plan.joining_fewer_than(least)))
    }

    pub(super) fn clock(&self, epoch: usize, (batch, batches): (usize, usize)) -> Clock {
        let epochs = self.config.config().train.epochs;
        Clock { epoch, epochs, batch, batches }
    }
}
