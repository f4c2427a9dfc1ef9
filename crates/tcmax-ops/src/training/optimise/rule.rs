//! What makes an optimiser the one it is.

use std::fmt::Debug;

use tcmax_registry::{OptionSet, require};

use crate::training::optimise::kernel::Kernel;

/// What a step of one parameter is made with, beside the rule's own settings.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Steps of this parameter, this one included.
    pub steps: u64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// An update rule: the options of an optimiser.
pub trait Rule: OptionSet + Clone + Debug + Send + Sync {
    /// How values are updated.
    type Kernel: Kernel;

    /// The kernel of one step of one parameter.
    fn kernel(&self, pace: Pace) -> Self::Kernel;

    /// Names of the running values beside each value; they start at 0.
    fn running(&self) -> &'static [&'static str];

    /// The learning rate to begin with.
    fn learning_rate(&self) -> f64;

    /// The weight decay of parameters without one of their own.
    fn weight_decay(&self) -> f64;

    /// Whether parameters of one dimension decay, too.
    fn vectors_decay(&self) -> bool;

    /// The share of the old direction that stays at each step: of the momentum, or of the mean of gradients.
    fn momentum(&self) -> f64;

    /// Sets [`Self::momentum`].
    fn set_momentum(&mut self, momentum: f64);
}

/// That a learning rate and a weight decay can be used.
pub(super) fn require_rates(learning_rate: f64, decay: f64) -> tcmax_registry::Result<()> {
    let fits = |value: f64| value.is_finite() && value >= 0.0;
    require(fits(learning_rate), "learning-rate", "must be a number of at least 0")?;
    require(fits(decay), "weight-decay", "must be a number of at least 0")
}

/// That the decay of a running value is one.
pub(super) fn require_decay(option: &'static str, value: f64) -> tcmax_registry::Result<()> {
    let problem = format!("got {value}, wanted a number from 0 and less than 1");
    require((0.0..1.0).contains(&value), option, &problem)
}
