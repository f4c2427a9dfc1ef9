//! A learning rate that falls in a line: lr = base * (end + (1 - end) * max(0, T - t) / T).
//!
//! After a warm-up that starts at 0, it is `get_linear_schedule_with_warmup` of Hugging Face's transformers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_rate};

/// The specification of linear decay.
pub static LINEAR: ScheduleSpec = ScheduleSpec {
    name: "linear",
    description: "falls in a line, to 0 at the end",
    source: "transformers' linear schedule, with a warm-up",
    options: Options::of::<LinearOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(Linear { base, options: read(options)? })),
};

/// Options of linear decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinearOptions {
    /// Epochs, or steps, of the fall, after the warm-up; absent: the rest of the run.
    pub total: Option<usize>,
    /// The part of the rate that is left at the end.
    pub end_factor: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self { total: None, end_factor: 0.0, unit: Unit::Step }
    }
}

impl OptionSet for LinearOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.total != Some(0), "total", "must be at least 1")?;
        require_rate("end-factor", self.end_factor)
    }
}

#[derive(Debug)]
struct Linear {
    base: f64,
    options: LinearOptions,
}

impl Schedule for Linear {
    fn rate(&self, at: Position) -> f64 {
        let LinearOptions { total, end_factor, unit } = self.options;
        let total = total.unwrap_or(at.total(unit)).max(1);
        let left = total.saturating_sub(at.time(unit)) as f64 / total as f64;
        self.base * (end_factor + (1.0 - end_factor) * left)
    }
}
