//! Step decay of the learning rate: lr = base * gamma^floor(t / step).
//!
//! As PyTorch's `StepLR`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_factor};

/// The specification of step decay.
pub static STEP: ScheduleSpec = ScheduleSpec {
    name: "step",
    description: "falls by a factor every so many epochs",
    source: "PyTorch's StepLR",
    options: Options::of::<StepOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(Steps { base, options: read(options)? })),
};

/// Options of step decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepOptions {
    /// Epochs, or steps, between two falls, at least 1; absent: three quarters of the run.
    pub step_size: Option<usize>,
    /// Factor of each fall.
    pub gamma: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for StepOptions {
    fn default() -> Self {
        Self { step_size: None, gamma: 0.1, unit: Unit::Epoch }
    }
}

impl OptionSet for StepOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.step_size != Some(0), "step-size", "must be at least 1")?;
        require_factor("gamma", self.gamma)
    }
}

#[derive(Debug)]
struct Steps {
    base: f64,
    options: StepOptions,
}

impl Schedule for Steps {
    fn rate(&self, at: Position) -> f64 {
        let StepOptions { step_size, gamma, unit } = self.options;
        let three_quarters = (at.total(unit) * 3).div_ceil(4);
        let decay = StepDecay { step: step_size.unwrap_or(three_quarters), gamma };
        decay.learning_rate(self.base, at.time(unit))
    }
}

/// The learning rate falls by `gamma` every `step` epochs (PyTorch's StepLR).
///
/// ```
/// use tcmax_train::StepDecay;
///
/// let decay = StepDecay { step: 30, gamma: 0.1 };
/// assert_eq!(decay.learning_rate(0.05, 0), 0.05);
/// assert_eq!(decay.learning_rate(0.05, 29), 0.05);
/// assert!((decay.learning_rate(0.05, 30) - 0.005).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepDecay {
    /// Epochs between two steps, at least 1.
    pub step: usize,
    /// Factor of each step.
    pub gamma: f64,
}

impl StepDecay {
    /// The rate in an epoch, counted from 0.
    pub fn learning_rate(&self, base: f64, epoch: usize) -> f64 {
        base * self.gamma.powf((epoch / self.step.max(1)) as f64)
    }
}
