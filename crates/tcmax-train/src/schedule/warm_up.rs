//! A learning rate that rises in a line before a schedule begins.
//!
//! ```text
//! lr_t = first rate of the schedule * (start + (1 - start) (t + c) / W)      t < W steps
//! lr_t = rate of the schedule at t - W, of a run that is W steps shorter     after
//! ```
//!
//! with c = 1, so that the last step of the warm-up has the whole rate already, or c = 0 with `from-start`: the
//! first step then has `start` of it. With `from-start` it is PyTorch's `LinearLR` before a schedule in
//! `SequentialLR` and, from `start` 0, the warm-up of Hugging Face's transformers, whose first step has the rate
//! 0.
//!
//! Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", section 2.2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::State;
use tcmax_registry::{OptionSet, require};

use crate::schedule::position::{Position, Unit};
use crate::schedule::spec::Schedule;

/// Options of a warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WarmUpOptions {
    /// Epochs, or steps, of the warm-up; 0: none. The rate rises with every step either way.
    pub length: usize,
    /// What the length counts: `epoch` or `step`.
    pub unit: Unit,
    /// The part of the rate to rise from, at least 0 and at most 1.
    pub start: f64,
    /// Whether the first step has exactly `start` of the rate, and the first one after the warm-up the whole.
    pub from_start: bool,
}

impl Default for WarmUpOptions {
    fn default() -> Self {
        Self { length: 0, unit: Unit::Step, start: 0.0, from_start: false }
    }
}

impl OptionSet for WarmUpOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((0.0..=1.0).contains(&self.start), "start", "must be at least 0 and at most 1")
    }
}

/// The schedule with a warm-up in front of it.
///
/// # Errors
/// When an option is out of range.
pub fn warmed_up(
    schedule: Box<dyn Schedule>,
    options: WarmUpOptions,
) -> tcmax_registry::Result<Box<dyn Schedule>> {
    options.check()?;
    match options.length {
        0 => Ok(schedule),
        _ => Ok(Box::new(WarmUp { schedule, options })),
    }
}

#[derive(Debug)]
struct WarmUp {
    schedule: Box<dyn Schedule>,
    options: WarmUpOptions,
}

impl WarmUp {
    /// Steps of the warm-up.
    fn steps(&self, at: Position) -> usize {
        let WarmUpOptions { length, unit, .. } = self.options;
        match unit {
            Unit::Epoch => length.saturating_mul(at.steps_per_epoch),
            Unit::Step => length,
        }
    }
}

impl Schedule for WarmUp {
    fn rate(&self, at: Position) -> f64 {
        let steps = self.steps(at);
        let whole = self.schedule.rate(at.after(steps));
        if at.step >= steps {
            return whole;
        }
        let WarmUpOptions { start, from_start, .. } = self.options;
        let risen = at.step + usize::from(!from_start);
        whole * (start + (1.0 - start) * risen as f64 / steps as f64)
    }

    fn momentum(&self, at: Position) -> Option<f64> {
        self.schedule.momentum(at.after(self.steps(at)))
    }

    fn observe(&mut self, metric: f64) {
        self.schedule.observe(metric);
    }

    fn state(&self) -> tcmax_ops::Result<State> {
        self.schedule.state()
    }

    fn load_state(&mut self, state: &State) -> tcmax_ops::Result<()> {
        self.schedule.load_state(state)
    }
}
