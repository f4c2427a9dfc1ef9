//! A learning rate that falls when a metric stops getting better.
//!
//! A metric is better than the best so far by more than the threshold, or else the epoch is a bad one. After more
//! than `patience` bad epochs in a row the rate is multiplied by `factor`, and the next `cooldown` epochs are not
//! counted as bad. As PyTorch's `ReduceLROnPlateau`; a metric that is NaN is never better.

use candle_core::{Device, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Error, State, to_vec_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::schedule::position::Position;
use crate::schedule::spec::{Schedule, ScheduleSpec, require_rate};

/// The specification of decay on a plateau.
pub static PLATEAU: ScheduleSpec = ScheduleSpec {
    name: "plateau",
    description: "falls by a factor when a metric stops getting better",
    source: "PyTorch's ReduceLROnPlateau",
    options: Options::of::<PlateauOptions>(),
    metric: true,
    make: |options, base| Ok(Box::new(Plateau::new(read(options)?, base))),
};

/// Options of decay on a plateau.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlateauOptions {
    /// Whether a better metric is smaller or larger: `min` or `max`.
    pub mode: Mode,
    /// Factor of each fall, above 0 and below 1.
    pub factor: f64,
    /// Bad epochs in a row that are let pass.
    pub patience: usize,
    /// By how much a better metric is better.
    pub threshold: f64,
    /// Whether the threshold is a part of the best metric or a difference: `rel` or `abs`.
    pub threshold_mode: ThresholdMode,
    /// Epochs after a fall in which none is bad.
    pub cooldown: usize,
    /// The lowest rate.
    pub min_rate: f64,
    /// A fall by no more than this is left out.
    pub eps: f64,
}

/// What a better metric is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A smaller one, such as of a loss.
    #[default]
    Min,
    /// A larger one, such as of an accuracy.
    Max,
}

/// What a threshold is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdMode {
    /// A part of the best metric.
    #[default]
    Rel,
    /// A difference from the best metric.
    Abs,
}

impl Default for PlateauOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_rate: 0.0,
            eps: 1e-8,
        }
    }
}

impl OptionSet for PlateauOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let falls = self.factor > 0.0 && self.factor < 1.0;
        require(falls, "factor", "must be above 0 and below 1")?;
        require_rate("threshold", self.threshold)?;
        require_rate("min-rate", self.min_rate)?;
        require_rate("eps", self.eps)
    }
}

#[derive(Debug)]
struct Plateau {
    options: PlateauOptions,
    now: Now,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Now {
    rate: f64,
    best: f64,
    bad_epochs: f64,
    cooldown_left: f64,
}

impl Plateau {
    fn new(options: PlateauOptions, base: f64) -> Self {
        let best = match options.mode {
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
        };
        Self { options, now: Now { rate: base, best, bad_epochs: 0.0, cooldown_left: 0.0 } }
    }

    fn is_better(&self, metric: f64) -> bool {
        let PlateauOptions { mode, threshold, threshold_mode, .. } = self.options;
        let best = self.now.best;
        match (mode, threshold_mode) {
            (Mode::Min, ThresholdMode::Rel) => metric < best * (1.0 - threshold),
            (Mode::Min, ThresholdMode::Abs) => metric < best - threshold,
            (Mode::Max, ThresholdMode::Rel) => metric > best * (1.0 + threshold),
            (Mode::Max, ThresholdMode::Abs) => metric > best + threshold,
        }
    }
}

/// The name of the state: rate, best metric, bad epochs, epochs of cooldown left.
const STATE: &str = "plateau";

impl Schedule for Plateau {
    fn rate(&self, _: Position) -> f64 {
        self.now.rate
    }

    fn observe(&mut self, metric: f64) {
        let better = self.is_better(metric);
        let PlateauOptions { factor, patience, cooldown, min_rate, eps, .. } = self.options;
        let now = &mut self.now;
        if better {
            (now.best, now.bad_epochs) = (metric, 0.0);
        } else {
            now.bad_epochs += 1.0;
        }
        if now.cooldown_left > 0.0 {
            now.cooldown_left -= 1.0;
            now.bad_epochs = 0.0;
        }
        if now.bad_epochs > patience as f64 {
            let lower = (now.rate * factor).max(min_rate);
            if now.rate - lower > eps {
                now.rate = lower;
            }
            now.cooldown_left = cooldown as f64;
            now.bad_epochs = 0.0;
        }
    }

    fn state(&self) -> tcmax_ops::Result<State> {
        let Now { rate, best, bad_epochs, cooldown_left } = self.now;
        let values = [rate, best, bad_epochs, cooldown_left];
        Ok(State::from([(STATE.to_owned(), Tensor::new(&values, &Device::Cpu)?)]))
    }

    fn load_state(&mut self, state: &State) -> tcmax_ops::Result<()> {
        if let Some(name) = state.keys().find(|name| *name != STATE) {
            return Err(Error::UnknownTensor { name: name.clone() });
        }
        let (name, wanted) = (STATE.to_owned(), Shape::from(4));
        let Some(tensor) = state.get(STATE) else {
            return Err(Error::MissingTensor { name, shape: wanted });
        };
        match to_vec_f64(tensor)?[..] {
            [rate, best, bad_epochs, cooldown_left] => {
                self.now = Now { rate, best, bad_epochs, cooldown_left };
                Ok(())
            }
            _ => Err(Error::WrongShape { name, got: tensor.shape().clone(), wanted }),
        }
    }
}
