//! A learning rate that falls at given times: lr = base * gamma^(milestones that have passed).
//!
//! As PyTorch's `MultiStepLR`: a milestone that is given twice counts twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_factor};

/// The specification of decay at milestones.
pub static MULTI_STEP: ScheduleSpec = ScheduleSpec {
    name: "multi-step",
    description: "falls by a factor at each milestone",
    source: "PyTorch's MultiStepLR",
    options: Options::of::<MultiStepOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(MultiStep { base, options: read(options)? })),
};

/// Options of decay at milestones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MultiStepOptions {
    /// The first epochs, or steps, with a lower rate, from 0.
    pub milestones: Vec<usize>,
    /// Factor of each fall.
    pub gamma: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for MultiStepOptions {
    fn default() -> Self {
        Self { milestones: vec![30, 60, 90], gamma: 0.1, unit: Unit::Epoch }
    }
}

impl OptionSet for MultiStepOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require_factor("gamma", self.gamma)
    }
}

#[derive(Debug)]
struct MultiStep {
    base: f64,
    options: MultiStepOptions,
}

impl Schedule for MultiStep {
    fn rate(&self, at: Position) -> f64 {
        let now = at.time(self.options.unit);
        let passed = self.options.milestones.iter().filter(|&&milestone| milestone <= now).count();
        self.base * self.options.gamma.powf(passed as f64)
    }
}
