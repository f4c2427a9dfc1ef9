//! Schedules as configuration files name them.

use serde::{Deserialize, Serialize};
use tcmax_registry::{Catalogue, Table};

use crate::schedule::spec::{Schedule, ScheduleSpec};
use crate::schedule::step::STEP;
use crate::schedule::warm_up::{WarmUpOptions, warmed_up};

/// A schedule: its name and, beside it, its options, with a table `warm-up` if it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScheduleConfig {
    /// Its name.
    pub name: String,
    /// What is in front of it.
    #[serde(default)]
    pub warm_up: WarmUpOptions,
    /// Its options.
    #[serde(flatten)]
    pub options: Table,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        let warm_up = WarmUpOptions::default();
        Self { name: STEP.name.to_owned(), warm_up, options: Table::new() }
    }
}

impl ScheduleConfig {
    /// The schedule of an optimiser with the learning rate `base`.
    ///
    /// # Errors
    /// When there is no such schedule or option, or a value is out of range.
    pub fn build(
        &self,
        schedules: &Catalogue<ScheduleSpec>,
        base: f64,
    ) -> tcmax_registry::Result<Box<dyn Schedule>> {
        warmed_up(schedules.get(&self.name)?.build(&self.options, base)?, self.warm_up)
    }
}
