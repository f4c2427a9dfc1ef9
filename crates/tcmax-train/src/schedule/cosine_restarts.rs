//! Half cosines one after the other: at each restart the learning rate is the whole one again.
//!
//! ```text
//! lr = min + (base - min) (1 + cos(pi t_i / T_i)) / 2,   T_i = first-period * period-factor^i
//! ```
//!
//! with t_i the time since the restart before. As PyTorch's `CosineAnnealingWarmRestarts`.
//!
//! Source: Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::cosine::half_cosine;
use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_rate};

/// The specification of cosines with restarts.
pub static COSINE_RESTARTS: ScheduleSpec = ScheduleSpec {
    name: "cosine-restarts",
    description: "falls along half a cosine again and again",
    source: "Loshchilov and Hutter, ICLR 2017",
    options: Options::of::<CosineRestartsOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(CosineRestarts { base, options: read(options)? })),
};

/// Options of cosines with restarts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CosineRestartsOptions {
    /// Epochs, or steps, before the first restart, at least 1.
    pub first_period: usize,
    /// How many times as long each period is as the one before, at least 1.
    pub period_factor: usize,
    /// The rate that each fall leads to.
    pub min_rate: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

impl Default for CosineRestartsOptions {
    fn default() -> Self {
        Self { first_period: 10, period_factor: 2, min_rate: 0.0, unit: Unit::Epoch }
    }
}

impl OptionSet for CosineRestartsOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.first_period >= 1, "first-period", "must be at least 1")?;
        require(self.period_factor >= 1, "period-factor", "must be at least 1")?;
        require_rate("min-rate", self.min_rate)
    }
}

#[derive(Debug)]
struct CosineRestarts {
    base: f64,
    options: CosineRestartsOptions,
}

impl Schedule for CosineRestarts {
    fn rate(&self, at: Position) -> f64 {
        let CosineRestartsOptions { first_period, period_factor, min_rate, unit } = self.options;
        let (mut time, mut period) = (at.time(unit), first_period.max(1));
        if period_factor <= 1 {
            time %= period;
        }
        while time >= period {
            time -= period;
            period = period.saturating_mul(period_factor);
        }
        half_cosine(self.base, min_rate, time as f64 / period as f64)
    }
}
