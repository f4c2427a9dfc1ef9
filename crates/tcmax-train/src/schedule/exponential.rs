//! A learning rate that falls by a factor every time: lr = base * gamma^t.
//!
//! As PyTorch's `ExponentialLR`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_factor};

/// The specification of exponential decay.
pub static EXPONENTIAL: ScheduleSpec = ScheduleSpec {
    name: "exponential",
    description: "falls by a factor every epoch",
    source: "PyTorch's ExponentialLR",
    options: Options::of::<ExponentialOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(Exponential { base, options: read(options)? })),
};

/// Options of exponential decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExponentialOptions {
    /// Factor of each epoch, or step.
    pub gamma: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for ExponentialOptions {
    fn default() -> Self {
        Self { gamma: 0.95, unit: Unit::Epoch }
    }
}

impl OptionSet for ExponentialOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require_factor("gamma", self.gamma)
    }
}

#[derive(Debug)]
struct Exponential {
    base: f64,
    options: ExponentialOptions,
}

impl Schedule for Exponential {
    fn rate(&self, at: Position) -> f64 {
        self.base * self.options.gamma.powf(at.time(self.options.unit) as f64)
    }
}
