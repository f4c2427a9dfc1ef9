//! The section `[schedule]`: besides the options of the schedule, what is in front of it, and the number of
//! epochs that it is made for.

use tcmax_registry::{Choice, Options, Table};

use super::checked::in_section;
use crate::schedule::{Schedule, ScheduleSpec, WarmUpOptions, warmed_up};
use crate::{Error, Result};

/// The table of what is in front of a schedule.
const WARM_UP: &str = "warm-up";

/// The number of epochs that a schedule is made for, where it is not that of the run.
const LENGTH: &str = "length";

/// The section with every option in it.
pub(super) fn completed(given: &Choice, spec: &ScheduleSpec) -> Result<Choice> {
    let mut own = given.clone();
    let warm_up = own.options.remove(WARM_UP);
    let length = own.options.remove(LENGTH);
    let mut choice =
        own.complete(spec.name, &spec.options).map_err(|error| in_section("schedule", error))?;
    let warm_up = match warm_up {
        None => Table::new(),
        Some(toml::Value::Table(table)) => table,
        Some(_) => {
            let problem = "is a table, such as { length = 5 }";
            return Err(Error::setting("schedule.warm-up", problem));
        }
    };
    let warm_up = Options::of::<WarmUpOptions>().complete(&warm_up);
    let warm_up = warm_up.map_err(|error| in_section("schedule.warm-up", error))?;
    choice.options.insert(WARM_UP.to_owned(), warm_up.into());
    if let Some(length) = length {
        let epochs = length.as_integer().filter(|epochs| *epochs >= 1);
        let epochs =
            epochs.ok_or_else(|| Error::setting("schedule.length", "must be at least 1"))?;
        choice.options.insert(LENGTH.to_owned(), epochs.into());
    }
    Ok(choice)
}

/// The schedule of a completed section, from the optimiser's learning rate.
pub(super) fn build(choice: &Choice, spec: &ScheduleSpec, rate: f64) -> Result<Box<dyn Schedule>> {
    let wrong = |error| in_section("schedule", error);
    let warm_up = match choice.options.get(WARM_UP) {
        Some(toml::Value::Table(table)) => tcmax_registry::read(table).map_err(wrong)?,
        _ => WarmUpOptions::default(),
    };
    let mut options = choice.options.clone();
    options.retain(|name, _| name != WARM_UP && name != LENGTH);
    let schedule = spec.build(&options, rate).map_err(wrong)?;
    warmed_up(schedule, warm_up).map_err(wrong)
}

/// The number of epochs that the schedule is made for, where it is not that of the run.
pub(crate) fn length(choice: &Choice) -> Option<usize> {
    let epochs = choice.options.get(LENGTH)?.as_integer()?;
    usize::try_from(epochs).ok()
}

/// The same schedule, made for so many epochs whatever the length of the run.
pub(crate) fn of_length(mut choice: Choice, epochs: usize) -> Choice {
    if !choice.options.contains_key(LENGTH) {
        let epochs = i64::try_from(epochs).unwrap_or(i64::MAX);
        choice.options.insert(LENGTH.to_owned(), epochs.into());
    }
    choice
}
