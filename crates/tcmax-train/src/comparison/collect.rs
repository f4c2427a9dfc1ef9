//! Finished runs side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::de::DeserializeOwned;

use super::versions;
use tcmax_datasets::FILES;

use crate::checkpoint::{ModelCard, load};
use crate::error::at;
use crate::results::{DatasetSummary, MethodResult, RunResult, SuiteResult};
use crate::{Error, Registry, Result};

/// The results in some folders as one comparison: those of comparisons (or of `tcmax train` with several
/// seeds), and single runs, which are gathered by method and head.
///
/// # Errors
/// When a folder holds no results, or they are of other data than those of the first.
pub fn collect(folders: &[PathBuf], registry: &Registry) -> Result<SuiteResult> {
    let mut all: Option<SuiteResult> = None;
    for folder in folders {
        let own = results_in(folder, registry)?;
        all = Some(match all {
            None => own,
            Some(all) => joined(all, own, folder)?,
        });
    }
    all.ok_or_else(|| Error::setting("RUNS", "give at least one folder"))
}

fn results_in(folder: &Path, registry: &Registry) -> Result<SuiteResult> {
    let of_several = folder.join("results.json");
    if of_several.is_file() {
        return read(&of_several);
    }
    let of_one = folder.join("result.json");
    if of_one.is_file() {
        return one_run(folder, read(&of_one)?, registry);
    }
    let problem = match folder.join("experiment.toml").is_file() {
        true => {
            "its runs have no report yet; the option `report` writes that of those that are finished"
        }
        false => {
            "there are no results in it; give the folder of a finished training or comparison, or that of a run"
        }
    };
    Err(Error::bad_file(folder, problem))
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(at(path))?;
    serde_json::from_str(&text).map_err(|error| Error::bad_file(path, error.to_string()))
}

fn one_run(folder: &Path, run: RunResult, registry: &Registry) -> Result<SuiteResult> {
    let path = folder.join("model.safetensors");
    let (_, card): (_, ModelCard) = load(&path, &Device::Cpu)?;
    let broken = |error: Error| Error::bad_file(&path, error.to_string());
    let config = card.config.clone().check_with(registry).map_err(broken)?;
    let name = match *config.head() == *config.method().usual_head {
        true => config.method().name.to_owned(),
        false => format!("{} ({})", config.method(), config.head()),
    };
    let sizes =
        [&card.data.train, &card.data.validation, &card.data.test].map(|split| split.examples);
    let dataset = DatasetSummary {
        name: card.config.data.name.clone(),
        description: String::new(),
        modalities: card.modalities.iter().map(|modality| modality.name.clone()).collect(),
        classes: card.classes.clone(),
        task: card.task,
        sizes,
        notes: Vec::new(),
        warnings: Vec::new(),
        // Unless the data have a split of their own, which is not known here.
        resampled: card.config.data.name == FILES.name,
    };
    let settings =
        toml::to_string(&card.config).map_err(|e| Error::bad_file(&path, e.to_string()))?;
    let description = format!("{}; head {}", config.method().description, config.head());
    let method =
        MethodResult { name, description, runs: vec![run], failed: Vec::new(), cost: None };
    Ok(SuiteResult {
        suite: "runs".to_owned(),
        title: "Finished runs".to_owned(),
        dataset,
        truth: None,
        settings: vec![("configuration".to_owned(), settings)],
        versions: versions(),
        baseline: None,
        published: BTreeMap::new(),
        seconds: method.runs.iter().map(|run| run.seconds).sum(),
        methods: vec![method],
    })
}

fn joined(mut all: SuiteResult, own: SuiteResult, folder: &Path) -> Result<SuiteResult> {
    let (one, other) = (&all.dataset, &own.dataset);
    if (one.task, &one.modalities, &one.classes) != (other.task, &other.modalities, &other.classes)
    {
        let problem =
            "its results are of other modalities or classes than those of the first folder";
        return Err(Error::bad_file(folder, problem));
    }
    for mut method in own.methods {
        let known = all.methods.iter_mut().find(|known| known.name == method.name);
        let is_new = |known: &MethodResult| {
            !method.runs.iter().any(|run| known.runs.iter().any(|other| same_unit(run, other)))
        };
        match known {
            Some(known) if is_new(known) => {
                known.runs.append(&mut method.runs);
                known.failed.append(&mut method.failed);
                known.runs.sort_by_key(|run| (run.seed, run.fold));
            }
            // The same seeds again: another variant, of other settings.
            Some(_) => {
                method.name = format!("{} [{}]", method.name, folder.display());
                all.methods.push(method);
            }
            None => all.methods.push(method),
        }
    }
    check_pairs(&all)?;
    all.suite = "runs".to_owned();
    all.title = "Finished runs".to_owned();
    all.seconds += own.seconds;
    all.baseline = None;
    Ok(all)
}

fn same_unit(one: &RunResult, other: &RunResult) -> bool {
    one.seed == other.seed && one.fold == other.fold
}

/// Differences are taken between runs of the same seed: these must have seen the same data.
fn check_pairs(all: &SuiteResult) -> Result<()> {
    let runs =
        || all.methods.iter().flat_map(|method| method.runs.iter().map(move |run| (method, run)));
    for (n, (method, run)) in runs().enumerate() {
        let partner =
            runs().take(n).find(|(_, other)| same_unit(run, other) && run.data != other.data);
        if let Some((other, _)) = partner {
            let problem = format!(
                "'{}' and '{}' saw other data from seed {}: their difference would mean nothing",
                other.name, method.name, run.seed
            );
            return Err(Error::setting("RUNS", problem));
        }
    }
    Ok(())
}
