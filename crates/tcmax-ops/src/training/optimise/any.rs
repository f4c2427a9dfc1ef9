//! Any optimiser behind one type.

use std::fmt::Debug;

use candle_core::backprop::GradStore;

use crate::error::Result;
use crate::training::optimise::groups::GroupOptions;
use crate::training::optimise::optimiser::Optimiser;
use crate::training::optimise::rule::Rule;
use crate::training::params::State;

/// What a trainer asks of an optimiser. The methods are those of [`Optimiser`].
pub trait AnyOptimiser: Debug + Send {
    /// Updates every parameter that has a gradient and is not frozen. The others are left alone: no decay, no
    /// momentum, no step counted.
    ///
    /// # Errors
    /// When a gradient does not fit its parameter.
    fn step(&mut self, gradients: &GradStore) -> Result<()>;

    /// The learning rate of the next step, before the factors of groups.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate of the steps to come.
    fn set_learning_rate(&mut self, learning_rate: f64);

    /// The momentum, or what plays its part: Adam's `beta1`.
    fn momentum(&self) -> f64;

    /// Sets the momentum of the steps to come.
    ///
    /// # Errors
    /// When it is outside its range.
    fn set_momentum(&mut self, momentum: f64) -> Result<()>;

    /// Sets what is special about groups of parameters, instead of all that was set before.
    ///
    /// # Errors
    /// When no parameter has a prefix, a prefix is given twice, or a setting is out of range.
    fn set_groups(&mut self, groups: &[GroupOptions]) -> Result<()>;

    /// Freezes the parameters under a prefix, or lets them move again.
    ///
    /// # Errors
    /// When no parameter has the prefix.
    fn set_frozen(&mut self, prefix: &str, frozen: bool) -> Result<()>;

    /// Forgets all that earlier steps have left, such as momentum; settings stay.
    fn forget(&mut self);

    /// What it needs to continue, apart from its settings and groups: deep copies.
    ///
    /// # Errors
    /// Only if the device fails.
    fn state(&self) -> Result<State>;

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When the state is that of another optimiser or other parameters; nothing is changed then.
    fn load_state(&mut self, state: &State) -> Result<()>;
}

impl<R: Rule> AnyOptimiser for Optimiser<R> {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.step(gradients)
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.set_learning_rate(learning_rate);
    }

    fn momentum(&self) -> f64 {
        self.momentum()
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        self.set_momentum(momentum)
    }

    fn set_groups(&mut self, groups: &[GroupOptions]) -> Result<()> {
        self.set_groups(groups)
    }

    fn set_frozen(&mut self, prefix: &str, frozen: bool) -> Result<()> {
        self.set_frozen(prefix, frozen)
    }

    fn forget(&mut self) {
        self.forget();
    }

    fn state(&self) -> Result<State> {
        self.state()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.load_state(state)
    }
}
