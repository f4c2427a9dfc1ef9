//! What a schedule is, and what it is chosen by.

use std::fmt;

use tcmax_ops::State;
use tcmax_registry::{Options, Spec, Table, require};

use crate::schedule::position::Position;

/// The learning rate at each step of a run.
pub trait Schedule: fmt::Debug + Send {
    /// The rate to make a step with.
    fn rate(&self, at: Position) -> f64;

    /// The momentum to make a step with, where the schedule changes it, too.
    fn momentum(&self, _at: Position) -> Option<f64> {
        None
    }

    /// Is told a metric of the model, once after every epoch. Schedules that are not
    /// [driven by one](ScheduleSpec::metric) leave it aside.
    fn observe(&mut self, _metric: f64) {}

    /// What it needs to continue, apart from its options: deep copies.
    ///
    /// # Errors
    /// Only if a tensor cannot be made.
    fn state(&self) -> tcmax_ops::Result<State> {
        Ok(State::new())
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When the state is not one of this schedule; nothing is changed then.
    fn load_state(&mut self, state: &State) -> tcmax_ops::Result<()> {
        match state.keys().next() {
            Some(name) => Err(tcmax_ops::Error::UnknownTensor { name: name.clone() }),
            None => Ok(()),
        }
    }
}

/// The specification of a schedule: a constant in the schedule's file.
pub struct ScheduleSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it does.
    pub description: &'static str,
    /// Where it comes from; empty where there is no one source.
    pub source: &'static str,
    /// Its options.
    pub options: Options,
    /// Whether it follows a metric: whoever trains must call [`Schedule::observe`] after every epoch.
    pub metric: bool,
    /// Makes the schedule: (options, the optimiser's learning rate).
    pub make: fn(&Table, f64) -> tcmax_registry::Result<Box<dyn Schedule>>,
}

impl ScheduleSpec {
    /// Builds the schedule for an optimiser with the learning rate `base`.
    ///
    /// # Errors
    /// When an option does not exist or is out of range.
    pub fn build(&self, options: &Table, base: f64) -> tcmax_registry::Result<Box<dyn Schedule>> {
        (self.make)(options, base)
    }
}

impl Spec for ScheduleSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// That a rate can be multiplied by an option again and again.
pub(super) fn require_factor(option: &'static str, value: f64) -> tcmax_registry::Result<()> {
    require(value.is_finite() && value > 0.0, option, "must be a number above 0")
}

/// That an option is a rate.
pub(super) fn require_rate(option: &'static str, value: f64) -> tcmax_registry::Result<()> {
    require(value.is_finite() && value >= 0.0, option, "must be a number of at least 0")
}
