//! The start of a run by one process or several: what they go on from, whether they have the same, and the members that
//! each of them runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use sha2::{Digest, Sha256};
use tcmax_data::{Splits, hexadecimal};
use tcmax_ops::{Members, State};
use tcmax_parallel::{Alone, Group, Purpose, Threads};

use super::RunOptions;
use super::member::{Beginning, train_member};
use crate::checkpoint::{Progress, read_file};
use crate::config::{BatchNorm, CheckedConfig, TrainConfig};
use crate::host::host_name;
use crate::identity::Identified;
use crate::observer::Silent;
use crate::results::RunResult;
use crate::run_files::{Existing, RunFiles, last_of};
use crate::{Error, Result, resume};

/// Trains on this thread, or as several members.
pub(super) fn train_here(
    config: &CheckedConfig,
    splits: &Splits,
    seed: u64,
    mut options: RunOptions<'_>,
) -> Result<RunResult> {
    let alone: Arc<dyn Group> = Arc::new(Alone);
    let group = options.group.unwrap_or(&alone);
    if group.rank() > 0 {
        // The first process writes and speaks.
        (options.folder, options.observer) = (None, &Silent);
    }
    let existing = options.existing;
    let files = options.folder.map(|folder| RunFiles::open(folder, existing)).transpose()?;
    let before = match existing {
        Existing::Resume => read_before(files.as_ref(), group, options.devices.first())?,
        Existing::Refuse | Existing::Replace => None,
    };
    let progress = before.as_ref().map(|(_, _, progress)| progress);
    let config =
        of_shards(config, (progress, seed), files.as_ref(), (group, options.devices.count()))?;
    let shards = config.config().train.shards.unwrap_or(1);
    let data = Identified::of(splits)?;
    compare(&config, (&data, seed), group)?;
    let beginning = |files, before| Beginning { files, before, data: data.clone() };
    if shards == 1 {
        let beginning = beginning(files, before);
        let alone = (Members::alone(), options.devices.first());
        return train_member(&config, splits, seed, options, beginning, alone);
    }
    let files = Mutex::new(files);
    run_members(&config, group, &|index, member: Arc<dyn Group>| {
        let device = options.devices.of_member(index);
        let is_first = member.rank() == 0;
        let options = match is_first {
            true => options,
            false => RunOptions { folder: None, observer: &Silent, ..options },
        };
        let files = files.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| is_first);
        let before = before.as_ref().map(|before| copied(before, device)).transpose()?;
        let synchronised = config.config().train.batch_norm == BatchNorm::Synchronised;
        let members = Members::new(tcmax_ops::on_devices(member, device)?, synchronised);
        train_member(&config, splits, seed, options, beginning(files, before), (members, device))
    })
}

/// The state that the first process goes on from, for all.
fn read_before(
    files: Option<&RunFiles>,
    group: &Arc<dyn Group>,
    device: &Device,
) -> Result<Option<(PathBuf, State, Progress)>> {
    let path = files.map(RunFiles::last);
    let own = match &path {
        Some(path) if path.exists() => read_file(path)?,
        _ => Vec::new(),
    };
    let bytes = group.all_gather(&own, Purpose::Control)?.swap_remove(0);
    if bytes.is_empty() {
        return Ok(None);
    }
    let path = path.unwrap_or_else(|| last_of(Path::new("")));
    let (tensors, progress) = resume::parse_run(&path, &bytes, device)?;
    Ok(Some((path, tensors, progress)))
}

/// The same state on a device, in memory of its own: members change what they hold.
fn copied(
    (path, state, progress): &(PathBuf, State, Progress),
    device: &Device,
) -> Result<(PathBuf, State, Progress)> {
    let tensors =
        state.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_device(device)?.copy()?)));
    Ok((path.clone(), tensors.collect::<Result<_>>()?, progress.clone()))
}

/// The settings, with the number of shards: as many as they say, as the run had, or as there are processes times the
/// devices of each.
fn of_shards(
    config: &CheckedConfig,
    (before, seed): (Option<&Progress>, u64),
    files: Option<&RunFiles>,
    (group, devices): (&Arc<dyn Group>, usize),
) -> Result<CheckedConfig> {
    let processes = group.size();
    let config = match before {
        Some(progress) => {
            let folder = files.map_or(Path::new(""), RunFiles::folder);
            resume::continued(config, (progress, seed), folder)?
        }
        None => config.clone(),
    };
    let usual = if before.is_some() { 1 } else { processes * devices };
    let given = config.config().train.shards;
    let shards = given.unwrap_or(usual);
    if shards % processes != 0 {
        let problem = format!(
            "there are {processes} processes, and the shards must be a multiple of them; there are {shards}"
        );
        return Err(Error::setting("train.shards", problem));
    }
    if shards / processes < devices {
        let problem = format!(
            "there are {devices} devices, and fewer shards for them: {}",
            shards / processes
        );
        return Err(Error::setting("train.shards", problem));
    }
    if given == Some(shards) || shards == 1 {
        return Ok(config);
    }
    let mut settings = config.config().clone();
    settings.train.shards = Some(shards);
    settings.check_with(config.registry())
}

/// Compares what the processes have, all of whom report the first difference.
fn compare(
    config: &CheckedConfig,
    (data, seed): (&Identified, u64),
    group: &Arc<dyn Group>,
) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let own = [
        host_name(),
        env!("CARGO_PKG_VERSION").to_owned(),
        digest(&settings(config)?),
        seed.to_string(),
        short(&data.data.digest()),
    ];
    let all = group.all_gather(own.join("\n").as_bytes(), Purpose::Control)?;
    let all: Vec<String> = all.iter().map(|text| String::from_utf8_lossy(text).into()).collect();
    let wanted: Vec<&str> = all[0].split('\n').collect();
    for (rank, text) in all.iter().enumerate() {
        let parts: Vec<&str> = text.split('\n').collect();
        let kinds = ["another version", "other settings", "another seed", "other data"];
        for (what, (got, wanted)) in kinds.iter().zip(parts[1..].iter().zip(&wanted[1..])) {
            if got != wanted {
                let (host, got, wanted) = (parts[0].into(), (*got).into(), (*wanted).into());
                return Err(Error::OtherMember { rank, host, what, got, wanted });
            }
        }
    }
    Ok(())
}

/// The settings as text, without where the data are: machines may have them in different folders.
fn settings(config: &CheckedConfig) -> Result<String> {
    let mut own: TrainConfig = config.config().clone();
    if let Ok(data) = config.registry().data.get(&own.data.name) {
        own.data = data.without_paths(own.data);
    }
    toml::to_string(&own).map_err(|error| Error::setting("config", error.to_string()))
}

fn digest(text: &str) -> String {
    short(&hexadecimal(&Sha256::digest(text)))
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// Runs this process's members, each with its number among them, and returns the result of its first one, or what went wrong first.
fn run_members(
    config: &CheckedConfig,
    group: &Arc<dyn Group>,
    work: &(dyn Fn(usize, Arc<dyn Group>) -> Result<RunResult> + Sync),
) -> Result<RunResult> {
    let count = config.config().train.shards.unwrap_or(1) / group.size();
    // A member that waits holds up its own pool alone.
    let threads = (rayon::current_num_threads() / count).max(1);
    let failed: Mutex<Option<usize>> = Mutex::new(None);
    let members = Threads::members(count, group)?;
    let mut results = tcmax_parallel::run(members, |member| {
        let index = member.rank() % count;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let result = match pool {
            Ok(pool) => pool.install(|| work(index, member)),
            Err(_) => work(index, member),
        };
        if result.is_err() {
            // Before the others hear of it, whose errors are but consequences.
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(index);
        }
        result
    });
    let first = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.swap_remove(first.unwrap_or(0))
}
