//! Where in a run a learning rate is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Steps of the optimiser before this one.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Steps of an epoch, at least 1.
    pub steps_per_epoch: usize,
}

/// What a schedule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Epochs: the rate stays the same within one.
    #[default]
    Epoch,
    /// Steps of the optimiser.
    Step,
}

impl Position {
    /// Step `step` (from 0) of epoch `epoch` (from 0).
    pub fn new(epoch: usize, step: usize, epochs: usize, steps_per_epoch: usize) -> Self {
        let whole = |epochs: usize| epochs.saturating_mul(steps_per_epoch);
        Self { step: whole(epoch).saturating_add(step), steps: whole(epochs), steps_per_epoch }
    }

    /// The epochs or steps before this one.
    pub(super) fn time(self, unit: Unit) -> usize {
        match unit {
            Unit::Epoch => self.step / self.steps_per_epoch.max(1),
            Unit::Step => self.step,
        }
    }

    /// The epochs or steps of the run.
    pub(super) fn total(self, unit: Unit) -> usize {
        match unit {
            Unit::Epoch => self.steps.div_ceil(self.steps_per_epoch.max(1)),
            Unit::Step => self.steps,
        }
    }

    /// The same step in a run that begins so many steps later.
    pub(super) fn after(self, steps: usize) -> Self {
        let (step, steps) = (self.step.saturating_sub(steps), self.steps.saturating_sub(steps));
        Self { step, steps, ..self }
    }
}
