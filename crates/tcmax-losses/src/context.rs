//! What a method may look at and do before an epoch.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_fusion::FusionHead;
use tcmax_ops::{Params, Seed};

use crate::step::Clock;
use crate::{ParameterGroups, Result};

/// A split of the data that an [`EpochContext`] gives access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The training split, shuffled.
    Train,
    /// The validation split.
    Validation,
}

/// One batch of a survey of the data.
#[derive(Clone, Copy)]
pub struct Surveyed<'a> {
    /// The classifier.
    pub head: &'a dyn FusionHead,
    /// Features z_m (B, D_m) in evaluation mode, without gradients.
    pub features: &'a [Tensor],
    /// The classes.
    pub labels: &'a Labels,
    /// Which examples of the split these are.
    pub rows: &'a [usize],
}

/// What [`EpochContext::each`] calls with one batch after the other.
pub type Visit<'a> = dyn FnMut(Surveyed<'_>) -> Result<bool> + 'a;

/// What [`EpochContext::study`] calls: with the classifier, what encodes the batch by the present parameters, in
/// evaluation mode and with gradients, and the classes.
pub type Study<'a> =
    dyn FnMut(&dyn FusionHead, &dyn Fn() -> Result<Vec<Tensor>>, &Labels) -> Result<()> + 'a;

/// What a method may look at and do before an epoch.
///
/// Of several members who train together, all do the same.
pub trait EpochContext {
    /// The current epoch.
    fn clock(&self) -> Clock;

    /// The start of everything random that a method draws before this epoch.
    fn seed(&self) -> Seed;

    /// Calls `visit` with one batch after the other, until it returns `false`. No more than one batch is in
    /// memory.
    ///
    /// # Errors
    /// When the data cannot be read, and those of `visit`.
    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> Result<()>;

    /// Calls `work` once, with the first `examples` of a split.
    ///
    /// # Errors
    /// When the data cannot be read, and those of `work`.
    fn study(&mut self, part: Part, examples: usize, work: &mut Study<'_>) -> Result<()>;

    /// All parameters and buffers of the model by name, those of the method's own included.
    fn params(&self) -> &Params;

    /// Which parameters belong to which encoder, and to the head.
    fn groups(&self) -> &ParameterGroups;

    /// Makes a frozen copy of the model as it is now the [teacher](crate::Taught): from now on every step brings what
    /// it says of the batch. It is part of checkpoints.
    ///
    /// # Errors
    /// When there is no memory for it.
    fn teach(&mut self) -> Result<()>;

    /// Lets the optimiser forget what it remembers of earlier steps, such as momentum, and starts the average of
    /// the weights anew from them as they are, where the run has one.
    ///
    /// # Errors
    /// Only if the device fails.
    fn reset_optimiser(&mut self) -> Result<()>;
}
