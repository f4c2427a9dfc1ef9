//! The trait of methods.

use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{FusionHead, HeadSpec};
use tcmax_ops::State;
use tcmax_registry::Task;

use crate::step::{Clock, Step, StepOutput};
use crate::{Error, Result, Targets, Way};

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

/// A split of the data that an [`EpochContext`] gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The training split, shuffled.
    Train,
    /// The validation split.
    Validation,
}

/// What a method may look at before an epoch.
pub trait EpochContext {
    /// The current epoch.
    fn clock(&self) -> Clock;

    /// Calls `visit` with the classifier, and the features (in evaluation mode, without gradients) and
    /// labels of one batch after the other, until it returns `false`. No more than one batch is in
    /// memory.
    ///
    /// # Errors
    /// When the data cannot be read, and those of `visit`.
    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> Result<()>;
}

/// What [`EpochContext::each`] calls with the classifier and the features and labels of a batch.
pub type Visit<'a> = dyn FnMut(&dyn FusionHead, &[Tensor], &Labels) -> Result<bool> + 'a;

/// What a method is made for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Feature widths D_m, one per modality.
    pub widths: Vec<usize>,
    /// Classes.
    pub classes: usize,
    /// Training examples.
    pub examples: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// The head.
    pub head: &'static HeadSpec,
    /// Where tensors live.
    pub device: Device,
}
