//! Going on with a run: what has to be as it was, and what may be otherwise.
//!
//! The same are the data, the seed and every setting, but for those that are not saved as they never change
//! results (`workers`, `log-steps`, `tensorboard`, `information-every`) and two more. Data may have been moved: what counts is what
//! they are. And there may be more epochs: the
//! schedule of the learning rate stays that of the first number of epochs, as PyTorch's schedules would, so
//! that a run of 40 epochs gone on with to 60 is the run of 60 epochs with `schedule.length` = 40. Methods that stop balancing after half the epochs
//! count half of the new number.

use std::path::Path;

use candle_core::Device;
use tcmax_ops::State;
use tcmax_registry::Choice;

use crate::checkpoint::{Progress, parse, read_file};
use crate::config::{self, CheckedConfig, TrainConfig, of_length};
use crate::identity::DataIdentity;
use crate::run_files::last_of;
use crate::{Error, Registry, Result};

/// Where the run in `folder` is, if it has finished an epoch.
///
/// # Errors
/// When its `last.safetensors` is damaged or not of this version.
pub fn read(folder: &Path, device: &Device) -> Result<Option<(State, Progress)>> {
    let path = last_of(folder);
    if !path.exists() {
        return Ok(None);
    }
    parse_run(&path, &read_file(&path)?, device).map(Some)
}

/// Where the run is whose state the file `path` of these bytes holds.
pub(crate) fn parse_run(path: &Path, bytes: &[u8], device: &Device) -> Result<(State, Progress)> {
    let (tensors, progress): (State, Progress) = parse(path, bytes, device)?;
    check(&progress).map_err(|problem| Error::bad_file(path, problem))?;
    Ok((tensors, progress))
}

/// Checks what going on relies on.
///
/// # Errors
/// What the record of the run says that cannot be.
pub fn check(progress: &Progress) -> std::result::Result<(), String> {
    let (epochs, done) = (progress.config.train.epochs, progress.history.len());
    if done > epochs {
        return Err(format!("it has {done} epochs of {epochs}"));
    }
    let numbered = progress.history.iter().zip(1..).all(|(record, epoch)| record.epoch == epoch);
    if done == 0 || !numbered {
        return Err("its epochs are not numbered from 1".to_owned());
    }
    // No epoch is kept before the first whose weights can be used.
    let none_usable = progress.history.iter().all(|record| !record.usable);
    let kept = if none_usable { 0..=0 } else { 1..=done };
    if !kept.contains(&progress.best_epoch) {
        return Err(format!("its best epoch is {} of {done}", progress.best_epoch));
    }
    Ok(())
}

/// The settings to go on with: those asked for, where they are the run's own but for the number of
/// epochs, with the run's step of the learning rate. `folder` is for messages.
///
/// # Errors
/// The settings that differ, with both values; or that more epochs are done than asked for.
pub fn continued(
    config: &CheckedConfig,
    (progress, seed): (&Progress, u64),
    folder: &Path,
) -> Result<CheckedConfig> {
    let (asked, own) = (config.config(), &progress.config);
    let (mut asked, own_schedule) = (asked.clone(), &own.schedule);
    // A run goes on with as many shards as it had, whatever processes there are now.
    asked.train.shards = asked.train.shards.or(own.train.shards);
    // A schedule whose steps follow from the number of epochs keeps those it had.
    let kept = of_length(own_schedule.clone(), own.train.epochs);
    let mut found = differences(own, &asked, config.registry())?;
    if seed != progress.seed {
        found.push(format!("seed: then {}, now {seed}", progress.seed));
    }
    let made_for = config::schedule_length(&kept).unwrap_or(own.train.epochs);
    if of_length(asked.schedule.clone(), made_for) != kept {
        let (then, now) = (described(own_schedule), described(&asked.schedule));
        found.push(format!("schedule: then {then}, now {now}"));
    }
    if !found.is_empty() {
        let problem = format!(
            "the run in {} was made with other settings ({}); give the same, or choose another `out`",
            folder.display(),
            found.join("; ")
        );
        return Err(Error::setting("resume", problem));
    }
    let done = progress.history.len();
    if asked.train.epochs < done {
        let problem = format!("must be at least {done}: so many are done in {}", folder.display());
        return Err(Error::setting("train.epochs", problem));
    }
    let same = asked.train.epochs == own.train.epochs;
    let schedule = if same { own_schedule.clone() } else { kept };
    TrainConfig { schedule, ..asked }.check_with(config.registry())
}

/// A choice in one line.
fn described(choice: &Choice) -> String {
    let options = choice.options.iter().map(|(name, value)| format!("{name} {value}"));
    format!("{} {}", choice.name, options.collect::<Vec<_>>().join(", "))
}

/// Settings that differ, with both values. The schedule does not count here, and neither do the place
/// of the data and what is not saved.
fn differences(own: &TrainConfig, asked: &TrainConfig, registry: &Registry) -> Result<Vec<String>> {
    let table = |config: &TrainConfig| {
        let mut config = TrainConfig { schedule: Choice::default(), ..config.clone() };
        config.train.epochs = 1;
        if let Ok(data) = registry.data.get(&config.data.name) {
            config.data = data.without_paths(config.data);
        }
        toml::Table::try_from(config).map_err(|e| Error::setting("resume", e.to_string()))
    };
    let mut found = Vec::new();
    compare("", &toml::Value::Table(table(own)?), &toml::Value::Table(table(asked)?), &mut found);
    Ok(found)
}

fn compare(name: &str, own: &toml::Value, asked: &toml::Value, found: &mut Vec<String>) {
    if let (toml::Value::Table(own), toml::Value::Table(asked)) = (own, asked) {
        let mut names: Vec<&String> = own.keys().chain(asked.keys()).collect();
        names.sort();
        names.dedup();
        for field in names {
            let full = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
            match (own.get(field), asked.get(field)) {
                (Some(own), Some(asked)) => compare(&full, own, asked, found),
                (Some(own), None) => found.push(format!("{full}: then {own}, now none")),
                (None, Some(asked)) => found.push(format!("{full}: then none, now {asked}")),
                (None, None) => {}
            }
        }
    } else if own != asked {
        found.push(format!("{name}: then {own}, now {asked}"));
    }
}

/// Refuses other data than the run's, in the file `path`.
///
/// # Errors
/// Where the data differ.
pub(crate) fn check_data(path: &Path, progress: &Progress, data: &DataIdentity) -> Result<()> {
    let differences = progress.data.differences(data);
    if differences.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "the data are not those the run began with ({}): it would be tested on what it was trained on; \
         restore them, or start another run with another `out`",
        differences.join(", ")
    );
    Err(Error::bad_file(path, problem))
}

/// Names the file that an error is about.
pub(crate) fn in_file(path: &Path, error: Error) -> Error {
    match error {
        named @ (Error::File { .. } | Error::BadFile { .. }) => named,
        other => Error::bad_file(path, other.to_string()),
    }
}
