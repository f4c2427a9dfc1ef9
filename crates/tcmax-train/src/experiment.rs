//! Experiment files: the settings of a run, and what is compared.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Table, require};

use crate::config::{TrainConfig, lists, with_positions};
use crate::{Error, Result};

/// The section `[compare]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CompareOptions {
    /// One line on what is compared; absent: made of the names.
    pub title: Option<String>,
    /// Methods, by name.
    pub methods: Vec<String>,
    /// Heads, each with every method that is defined for it; empty: each method with its own.
    pub heads: Vec<String>,
    /// A model of each modality alone too, trained by joint training.
    pub each_modality: bool,
    /// Seeds, each a run of every method; a seed fixes split, order, initial weights and noise.
    pub seeds: Vec<u64>,
    /// The method that the others are compared with; absent: joint, or the first.
    pub baseline: Option<String>,
    /// Published test accuracies in percent, by the names of the variants, to stand beside the results.
    pub published: BTreeMap<String, f64>,
    /// Lists of values of other keys, such as "optimiser.learning-rate" = [0.01, 0.1]: every combination is
    /// trained.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub grid: Table,
    /// Runs at a time, each on one thread; they never change results. Absent: the number of cores, and no
    /// more than memory allows.
    #[serde(skip_serializing)]
    pub jobs: Option<usize>,
    /// For `--emit slurm`: options of sbatch by their long names, such as partition = "gpu", time = "02:00:00",
    /// mem = "8G", cpus-per-task = 4, gres = "gpu:1"; true is an option without a value. `jobs` are tasks at a time.
    #[serde(skip_serializing)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub slurm: Table,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            title: None,
            methods: ["joint", "unimodal", "tcmax"].map(str::to_owned).to_vec(),
            heads: Vec::new(),
            each_modality: false,
            seeds: vec![0, 1, 2, 3, 4],
            baseline: None,
            published: BTreeMap::new(),
            grid: Table::new(),
            jobs: None,
            slurm: Table::new(),
        }
    }
}

/// Most runs at a time.
const MOST_JOBS: usize = 1_024;

impl OptionSet for CompareOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let jobs = self.jobs.is_none_or(|jobs| (1..=MOST_JOBS).contains(&jobs));
        require(jobs, "jobs", &format!("must be 1 to {MOST_JOBS}"))?;
        require(!self.methods.is_empty(), "methods", "must name at least one")?;
        let lists = self.grid.iter().flat_map(|(_, value)| flat(value));
        let lists = lists.into_iter().all(|value| value.as_array().is_some_and(|a| !a.is_empty()));
        require(lists, "grid", "every key must have a list of values")?;
        self.slurm.iter().try_for_each(|(key, value)| check_slurm(key, value))
    }

    fn unsaved(&self) -> Table {
        let jobs = self.jobs.and_then(|jobs| i64::try_from(jobs).ok());
        let jobs = jobs.map(|jobs| ("jobs".to_owned(), jobs.into()));
        let slurm = (!self.slurm.is_empty()).then(|| self.slurm.clone().into());
        jobs.into_iter().chain(slurm.map(|slurm| ("slurm".to_owned(), slurm))).collect()
    }
}

fn check_slurm(key: &str, value: &toml::Value) -> tcmax_registry::Result<()> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = key.starts_with(|c: char| c.is_ascii_lowercase()) && key.chars().all(of_name);
    require(
        is_name,
        "slurm",
        &format!("'{key}' is no long name of an option, such as cpus-per-task"),
    )?;
    require(key != "array", "slurm", "'array' is set by `--emit slurm` itself")?;
    let is_plain = !value.is_table() && !value.is_array();
    let is_line = !value.as_str().is_some_and(|text| text.contains(char::is_control));
    let problem = format!("'{key}' must have a number, a word, true or false");
    require(is_plain && is_line, "slurm", &problem)
}

/// The values in tables of tables: TOML reads `train.epochs = [1]` as a table `train`.
fn flat(value: &toml::Value) -> Vec<&toml::Value> {
    match value.as_table() {
        Some(table) => table.iter().flat_map(|(_, value)| flat(value)).collect(),
        None => vec![value],
    }
}

/// An experiment file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// The settings of every run.
    pub config: TrainConfig,
    /// What is compared.
    pub compare: CompareOptions,
}

impl Experiment {
    /// Reads an experiment file; what is not there has its default.
    ///
    /// ```
    /// let text = "[train]\nepochs = 3\n[compare]\nmethods = [\"joint\", \"tcmax\"]\nseeds = [0, 1]";
    /// let experiment = tcmax_train::Experiment::from_toml(text)?;
    /// assert_eq!(experiment.compare.seeds, [0, 1]);
    /// # Ok::<(), tcmax_train::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn from_toml(text: &str) -> Result<Self> {
        with_positions(text, |table| {
            let mut table = table.clone();
            let compare = match table.remove("compare") {
                None => CompareOptions::default(),
                Some(toml::Value::Table(table)) => read_compare(&table)?,
                Some(_) => {
                    let problem = "is a section: write [compare] and its keys below";
                    return Err(Error::setting("compare", problem));
                }
            };
            Ok(Self { config: TrainConfig::from_table(&table)?, compare })
        })
    }

    /// The experiment as a file.
    ///
    /// # Errors
    /// Only if a setting were no TOML.
    pub fn to_toml(&self) -> Result<String> {
        let wrong = |error: toml::ser::Error| Error::setting("settings", error.to_string());
        let mut table = Table::try_from(&self.config).map_err(wrong)?;
        table.insert("compare".to_owned(), toml::Value::try_from(&self.compare).map_err(wrong)?);
        toml::to_string_pretty(&table).map_err(wrong)
    }

    /// Sets one key, see [`TrainConfig::set`].
    ///
    /// # Errors
    /// As [`TrainConfig::set`].
    pub fn set(&mut self, key: &str, value: toml::Value) -> Result<()> {
        let Some(option) = key.strip_prefix("compare.") else { return self.config.set(key, value) };
        let mut table = Table::try_from(&self.compare)
            .map_err(|error| Error::setting("compare", error.to_string()))?;
        table.extend(self.compare.unsaved());
        match option.split_once('.') {
            Some((name @ ("grid" | "slurm"), key)) => {
                let inside = table.entry(name).or_insert_with(|| Table::new().into());
                if let Some(inside) = inside.as_table_mut() {
                    inside.insert(key.to_owned(), value);
                }
            }
            _ => {
                table.insert(option.to_owned(), value);
            }
        }
        self.compare = read_compare(&table)?;
        Ok(())
    }
}

fn read_compare(table: &Table) -> Result<CompareOptions> {
    tcmax_registry::read(table).map_err(|error| crate::config::in_section("compare", error))
}

impl CompareOptions {
    /// The keys of the grid with their values, dotted keys as they are given to `--set`.
    pub fn grid_keys(&self) -> Vec<(String, Vec<toml::Value>)> {
        lists(&self.grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_read_with_dots_inside_and_outside_of_quotes() {
        let text = "[compare.grid]\n\"train.epochs\" = [1, 2]\noptimiser.learning-rate = [0.1]";
        let experiment = Experiment::from_toml(text).unwrap();
        let keys = experiment.compare.grid_keys();
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, ["optimiser.learning-rate", "train.epochs"]);
        let error = Experiment::from_toml("[compare.grid]\ntrain.epochs = 1").unwrap_err();
        assert!(error.to_string().contains("list of values"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut experiment = Experiment::default();
        experiment.set("compare.grid.train.epochs", toml::Value::Array(vec![1.into()])).unwrap();
        experiment.set("compare.seeds", toml::Value::Array(vec![7.into()])).unwrap();
        experiment.set("method.ogm.alpha", 0.5.into()).unwrap();
        let again = Experiment::from_toml(&experiment.to_toml().unwrap()).unwrap();
        assert_eq!(again, experiment);
        experiment.set("compare.jobs", 2.into()).unwrap();
        experiment.set("compare.slurm.partition", "gpu".into()).unwrap();
        experiment.set("compare.slurm.cpus-per-task", 4.into()).unwrap();
        assert_eq!((experiment.compare.jobs, experiment.compare.slurm.len()), (Some(2), 2));
        assert!(!experiment.to_toml().unwrap().contains("gpu"), "results do not depend on it");
        for (key, words) in
            [("array", "itself"), ("Mem", "long name"), ("mem per cpu", "long name")]
        {
            let error = experiment.set(&format!("compare.slurm.{key}"), 1.into()).unwrap_err();
            assert!(error.to_string().contains(words), "{key}: {error}");
        }
        let error = experiment.set("compare.slurm.mem", "8G\nexit".into()).unwrap_err();
        assert!(error.to_string().contains("compare.slurm"), "{error}");
        let error = experiment.set("compare.seed", 1.into()).unwrap_err().to_string();
        assert!(error.contains("did you mean 'seeds'"), "{error}");
    }
}
