//! The trait of methods.

use candle_core::Tensor;
use tcmax_fusion::{FusionHead, StageFusion};
use tcmax_ops::State;
use tcmax_registry::Task;

use crate::step::{Step, StepOutput};
use crate::{EpochContext, EpochPlan, Error, Result, Targets, Way};

/// A way to train a multimodal classifier: a loss of features, head and labels, a change of the
/// gradients before the optimiser sees them, or both; and what it remembers between steps.
pub trait Method: Send {
    /// Trains on one batch.
    ///
    /// # Errors
    /// When shapes do not fit, or the loss is not finite.
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput>;

    /// Trains on one batch of several labels or numbers; called only where the method's specification says
    /// that it is defined for them ([`Tasks`](crate::Tasks)).
    ///
    /// # Errors
    /// As [`Method::step`]; for classes alone, as by default, always.
    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        Err(Error::NeedsClasses { task: step.labels.task() })
    }

    /// How members who train together compute the loss of a batch: unless the method says otherwise, each sees the
    /// features of the whole batch, which is right for any method that takes its gradients from
    /// [`Step::descend`] or [`Step::gradients`].
    fn way(&self, head: &dyn FusionHead, task: Task) -> Way {
        let _ = (head, task);
        Way::Gathered
    }

    /// Called before an epoch, with access to the data; most methods need neither.
    ///
    /// # Errors
    /// When the data cannot be read.
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let _ = context;
        Ok(())
    }

    /// The batches of the epoch that [`Method::begin_epoch`] was called for, in place of every training example once in
    /// a random order; `None`, as by default, where they stay as they are.
    fn take_plan(&mut self) -> Option<EpochPlan> {
        None
    }

    /// Whether the weights after an epoch (from 0) are those of a model that can be used: not so while a method trains
    /// teachers or single encoders. Of others none is kept.
    fn is_usable_after(&self, epoch: usize) -> bool {
        let _ = epoch;
        true
    }

    /// Whether encoders stay as they are in an epoch (from 0): features are then those of evaluation, without gradients,
    /// and running statistics do not move either.
    fn freezes_encoders(&self, epoch: usize) -> bool {
        let _ = epoch;
        false
    }

    /// The largest norm of all gradients together, where the settings name none; `None`, as by default, clips nothing.
    fn usual_clip_norm(&self) -> Option<f64> {
        None
    }

    /// The classifier that the method trains in place of the head of the settings, on parameters of its own; `None`, as
    /// by default, where it trains that one.
    fn own_head(&self) -> Option<Box<dyn FusionHead>> {
        None
    }

    /// What joins the encoders between their stages, in training and in prediction alike, on parameters of the method's
    /// own; `None`, as by default, where each encodes by itself. Only where [`MethodSpec`](crate::MethodSpec) says that
    /// the method needs stages.
    fn stage_fusion(&self) -> Option<Box<dyn StageFusion>> {
        None
    }

    /// Logits (N, C) to predict from: softmax of them is p(y | z).
    ///
    /// # Errors
    /// When the features do not fit the head.
    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        Ok(head.logits(features)?)
    }

    /// Numbers (N, K) to predict, of models of regression: the head's outputs, unless the method trains
    /// others.
    ///
    /// # Errors
    /// As [`Method::predict`].
    fn predict_numbers(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        self.predict(head, features)
    }

    /// Everything remembered between steps, for checkpoints.
    ///
    /// # Errors
    /// Only if the device fails.
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }

    /// Restores what [`Method::state`] returned.
    ///
    /// # Errors
    /// When it is not this method's state.
    fn load_state(&mut self, state: &State) -> Result<()> {
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::UnknownState { name: name.clone() }),
        }
    }
}
