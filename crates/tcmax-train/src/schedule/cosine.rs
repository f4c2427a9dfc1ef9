//! A learning rate that falls along half a cosine: lr = min + (base - min) (1 + cos(pi t / T)) / 2.
//!
//! As PyTorch's `CosineAnnealingLR`, where t may pass T: the rate rises again then. After a warm-up that starts
//! at 0, it is `get_cosine_schedule_with_warmup` of Hugging Face's transformers.
//!
//! Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_rate};

/// The specification of the cosine.
pub static COSINE: ScheduleSpec = ScheduleSpec {
    name: "cosine",
    description: "falls along half a cosine, to 0 at the end",
    source: "Loshchilov and Hutter, ICLR 2017",
    options: Options::of::<CosineOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(Cosine { base, options: read(options)? })),
};

/// Options of the cosine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CosineOptions {
    /// Epochs, or steps, of the fall, after the warm-up; absent: the rest of the run.
    pub total: Option<usize>,
    /// The rate at the end.
    pub min_rate: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for CosineOptions {
    fn default() -> Self {
        Self { total: None, min_rate: 0.0, unit: Unit::Step }
    }
}

impl OptionSet for CosineOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.total != Some(0), "total", "must be at least 1")?;
        require_rate("min-rate", self.min_rate)
    }
}

#[derive(Debug)]
struct Cosine {
    base: f64,
    options: CosineOptions,
}

impl Schedule for Cosine {
    fn rate(&self, at: Position) -> f64 {
        let CosineOptions { total, min_rate, unit } = self.options;
        let total = total.unwrap_or(at.total(unit)).max(1);
        half_cosine(self.base, min_rate, at.time(unit) as f64 / total as f64)
    }
}

/// From `from` at 0 to `to` at 1.
pub(super) fn half_cosine(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) * (1.0 + (PI * part).cos()) / 2.0
}
