//! Schedules of the learning rate: what it is at each step of training.
//!
//! A [`Schedule`] is asked for the rate at a [`Position`] in the run and, if it follows a metric, told the
//! metric after each epoch. Every schedule counts epochs or optimiser steps, whichever its option `unit` says,
//! and a [`WarmUpOptions`] can raise the rate in front of any of them. The built-in ones are the list
//! [`SCHEDULES`]; the learning rate of the optimiser is the largest rate of each.
//!
//! ```
//! use tcmax_train::schedule::{Position, ScheduleConfig, schedules};
//!
//! let text = "name = 'cosine'\nunit = 'step'\nwarm-up = { length = 10 }";
//! let config: ScheduleConfig = toml::from_str(text).unwrap();
//! let schedule = config.build(&schedules(), 0.5)?;
//! let rate = |step| schedule.rate(Position { step, steps: 110, steps_per_epoch: 11 });
//! assert_eq!((rate(0), rate(9), rate(10)), (0.05, 0.5, 0.5));
//! assert!((rate(60) - 0.25).abs() < 1e-15);
//! # Ok::<(), tcmax_registry::Error>(())
//! ```

mod config;
mod constant;
mod cosine;
mod cosine_restarts;
mod exponential;
mod linear;
mod list;
mod multi_step;
mod one_cycle;
mod plateau;
mod position;
mod spec;
mod step;
mod warm_up;

pub use config::ScheduleConfig;
pub use constant::CONSTANT;
pub use cosine::{COSINE, CosineOptions};
pub use cosine_restarts::{COSINE_RESTARTS, CosineRestartsOptions};
pub use exponential::{EXPONENTIAL, ExponentialOptions};
pub use linear::{LINEAR, LinearOptions};
pub use list::{SCHEDULES, schedules};
pub use multi_step::{MULTI_STEP, MultiStepOptions};
pub use one_cycle::{Anneal, ONE_CYCLE, OneCycleOptions};
pub use plateau::{Mode, PLATEAU, PlateauOptions, ThresholdMode};
pub use position::{Position, Unit};
pub use spec::{Schedule, ScheduleSpec};
pub use step::{STEP, StepDecay, StepOptions};
pub use warm_up::{WarmUpOptions, warmed_up};
