//! One cycle: the learning rate rises to the optimiser's and falls far below where it began, while the momentum
//! falls and rises.
//!
//! ```text
//! rate / div-factor -> rate -> rate / (div-factor final-div-factor)
//! ```
//!
//! with `three-phase` by way of the rate at the start. As PyTorch's `OneCycleLR`; after the last step the rate
//! stays at its lowest.
//!
//! Source: Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
//! Rates".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::cosine::half_cosine;
use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::{Schedule, ScheduleSpec, require_factor};

/// The specification of the cycle.
pub static ONE_CYCLE: ScheduleSpec = ScheduleSpec {
    name: "one-cycle",
    description: "rises, then falls far below its start; momentum the other way round",
    source: "Smith and Topin 2018",
    options: Options::of::<OneCycleOptions>(),
    metric: false,
    make: |options, base| Ok(Box::new(OneCycle { base, options: read(options)? })),
};

/// Options of the cycle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OneCycleOptions {
    /// Steps, or epochs, of the cycle; absent: the whole run.
    pub total: Option<usize>,
    /// The part of the cycle in which the rate rises, above 0 and below 1, with `three-phase` at most a half.
    pub pct_start: f64,
    /// What the rate is divided by at the start.
    pub div_factor: f64,
    /// What the rate at the start is divided by at the end.
    pub final_div_factor: f64,
    /// The form of rises and falls: `cos` or `linear`.
    pub anneal: Anneal,
    /// Whether the rate falls to the start's as long as it rose, and to the end's after that.
    pub three_phase: bool,
    /// Whether the momentum (Adam's `beta1`) changes too.
    pub cycle_momentum: bool,
    /// The momentum at the highest rate.
    pub base_momentum: f64,
    /// The momentum at the start and at the end.
    pub max_momentum: f64,
    /// What is counted: `epoch` or `step`.
    pub unit: Unit,
}

/// The form of a rise or fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cos,
    /// A line.
    Linear,
}

impl Default for OneCycleOptions {
    fn default() -> Self {
        Self {
            total: None,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
            anneal: Anneal::Cos,
            three_phase: false,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            unit: Unit::Step,
        }
    }
}

impl OptionSet for OneCycleOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.total != Some(0), "total", "must be at least 1")?;
        let most = if self.three_phase { 0.5 } else { 1.0 };
        let rises = self.pct_start > 0.0 && self.pct_start <= most && self.pct_start < 1.0;
        require(rises, "pct-start", "must be above 0 and below 1, with three-phase at most 0.5")?;
        require_factor("div-factor", self.div_factor)?;
        require_factor("final-div-factor", self.final_div_factor)?;
        let is_momentum = |value: f64| (0.0..1.0).contains(&value);
        require(is_momentum(self.base_momentum), "base-momentum", "must be at least 0, below 1")?;
        require(is_momentum(self.max_momentum), "max-momentum", "must be at least 0, below 1")
    }
}

#[derive(Debug)]
struct OneCycle {
    base: f64,
    options: OneCycleOptions,
}

/// What a value is at the start, at the highest rate, and at the end.
struct Levels {
    start: f64,
    peak: f64,
    end: f64,
}

impl OneCycle {
    fn value(&self, at: Position, levels: &Levels) -> f64 {
        let OneCycleOptions { total, pct_start, anneal, three_phase, unit, .. } = self.options;
        let total = total.unwrap_or(at.total(unit)) as f64;
        let time = (at.time(unit) as f64).min(total - 1.0);
        let Levels { start, peak, end } = *levels;
        let top = pct_start * total - 1.0;
        let phases = match three_phase {
            true => vec![
                (top, start, peak),
                (2.0 * pct_start * total - 2.0, peak, start),
                (total - 1.0, start, end),
            ],
            false => vec![(top, start, peak), (total - 1.0, peak, end)],
        };
        let mut begin = 0.0;
        for (finish, from, to) in phases {
            if time <= finish {
                // A phase without length is over.
                let part = if finish > begin { (time - begin) / (finish - begin) } else { 1.0 };
                return match anneal {
                    Anneal::Cos => half_cosine(from, to, part),
                    Anneal::Linear => from + (to - from) * part,
                };
            }
            begin = finish;
        }
        end
    }
}

impl Schedule for OneCycle {
    fn rate(&self, at: Position) -> f64 {
        let start = self.base / self.options.div_factor;
        let end = start / self.options.final_div_factor;
        self.value(at, &Levels { start, peak: self.base, end })
    }

    fn momentum(&self, at: Position) -> Option<f64> {
        let OneCycleOptions { cycle_momentum, base_momentum, max_momentum, .. } = self.options;
        let levels = Levels { start: max_momentum, peak: base_momentum, end: max_momentum };
        cycle_momentum.then(|| self.value(at, &levels))
    }
}
