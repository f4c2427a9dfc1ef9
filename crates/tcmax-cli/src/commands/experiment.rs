//! Settings of `train` and `compare`: a file, flags for the common keys, and `--set` for every other.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_datasets::{DataSource, Opening};
use tcmax_registry::OptionSet;
use tcmax_train::{
    CheckedConfig, Error, Existing, Experiment, Registry, TrainConfig, TrainingOptions,
    choose_data, open_data, parse_value, with_position, with_published_settings,
};

use super::device::DeviceOption;
use crate::progress::{DownloadBar, PrepareBar, say};

/// Which experiment.
#[derive(Args)]
pub struct ExperimentOptions {
    /// Read settings from an experiment file (TOML; see `tcmax config`); flags win
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Set any key of an experiment file, such as optimiser.momentum=0.8 (`tcmax config --explain` lists
    /// them)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Settings")]
    set: Vec<String>,
    /// Data set: synthetic, av-digits (see `tcmax datasets`), or the path of a feature file, of a
    /// folder of feature tables, of a manifest of media, or of prepared clips (see `tcmax inspect`)
    #[arg(long, value_name = "NAME or PATH", help_heading = "Data")]
    dataset: Option<String>,
    /// Folder with a named data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR", help_heading = "Data")]
    data_dir: Option<PathBuf>,
    /// Modalities to use, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", help_heading = "Data")]
    modalities: Option<Vec<String>>,
    /// User data: column or array with the labels [default: label and its like]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    label: Option<String>,
    /// User data: column or array with groups, none of which data.split=group puts in two splits
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    group: Option<String>,
    /// Fusion head, such as concat or film (see `tcmax methods`) [default: the method's own]
    #[arg(long, help_heading = "Model")]
    head: Option<String>,
    /// Encoder, such as resnet18 (see `tcmax methods`) [default: resnet-slim, and mlp for feature vectors]
    #[arg(long, help_heading = "Model")]
    encoder: Option<String>,
    /// Epochs [default: 40]; with --resume they may be more than before
    #[arg(long, help_heading = "Training")]
    epochs: Option<usize>,
    /// Examples in a batch [default: 32]
    #[arg(long, help_heading = "Training")]
    batch_size: Option<usize>,
    /// Learning rate [default: 0.05]
    #[arg(long, help_heading = "Training")]
    lr: Option<f64>,
    /// What encoders multiply: f32 or bf16 [default: f32]; parameters and losses are f32
    #[arg(long, value_name = "TYPE", value_parser = ["f32", "bf16"], help_heading = "Training")]
    precision: Option<String>,
    /// Loader threads; they never change results [default: 1]
    #[arg(long, help_heading = "Running")]
    workers: Option<usize>,
    /// Threads; they never change results [default: all cores]
    #[arg(long, help_heading = "Running")]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub device: DeviceOption,
}

/// Where results go, and what is done with those that are there.
#[derive(Args)]
pub struct OutputOptions {
    /// Write checkpoints, results and a report into this folder; without it only the result is printed
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub out: Option<PathBuf>,
    /// Go on with what is in --out: after an interruption, for more --epochs, with more --seeds
    #[arg(long, requires = "out", help_heading = "Running")]
    pub resume: bool,
    /// Replace what is in --out
    #[arg(long, requires = "out", conflicts_with = "resume", help_heading = "Running")]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long, help_heading = "Running")]
    pub json: bool,
}

impl OutputOptions {
    /// What to do with runs that are there already.
    pub fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        }
    }
}

/// The flag of each key that has one.
pub const FLAGS: [(&str, &str); 11] = [
    ("train.epochs", "--epochs"),
    ("train.batch-size", "--batch-size"),
    ("train.modalities", "--modalities"),
    ("train.precision", "--precision"),
    ("train.workers", "--workers"),
    ("optimiser.learning-rate", "--lr"),
    ("head.name", "--head"),
    ("encoder.name", "--encoder"),
    ("data.name", "--dataset"),
    ("data.label", "--label"),
    ("data.group", "--group"),
];

impl ExperimentOptions {
    /// The experiment of the file, or the default one, with the flags on top, `method` among them.
    pub fn experiment(
        &self,
        registry: &Registry,
        method: Option<&str>,
    ) -> anyhow::Result<Experiment> {
        let mut experiment = match &self.config {
            Some(path) => {
                let text = read(path)?;
                Experiment::from_toml(&text).map_err(|error| in_file(path, error))?
            }
            None => Experiment::default(),
        };
        self.apply(&mut experiment.config, registry)?;
        if let Some(method) = method {
            experiment.config = experiment.config.by_method(method);
        }
        for assignment in &self.set {
            let (key, value) = parse_assignment(assignment)?;
            experiment.set(&key, value)?;
        }
        experiment.config =
            with_published_settings(experiment.config, registry, &DownloadBar::new())?;
        Ok(experiment)
    }

    /// The arguments that a job needs beside the experiment file: where data are, and settings that no file keeps
    /// as they never change results.
    pub fn of_a_job(&self, config: &TrainConfig) -> anyhow::Result<Vec<String>> {
        let mut arguments = Vec::new();
        if let Some(folder) = &self.data_dir {
            let folder = std::path::absolute(folder).context("the current folder")?;
            let folder = folder.to_str().context("the path of --data-dir is not Unicode")?;
            arguments.extend(["--data-dir".to_owned(), folder.to_owned()]);
        }
        arguments.extend(self.device.arguments());
        let usual = TrainingOptions::default().unsaved();
        let own = config.train.unsaved().into_iter();
        for (key, value) in own.filter(|(key, value)| usual.get(key) != Some(value)) {
            arguments.extend(["--set".to_owned(), format!("train.{key}={value}")]);
        }
        Ok(arguments)
    }

    fn apply(&self, config: &mut TrainConfig, registry: &Registry) -> anyhow::Result<()> {
        if let Some(name) = &self.dataset {
            let chosen = choose_data(name, registry)?;
            match chosen.name == config.data.name {
                // Its other options stay.
                true => config.data.options.extend(chosen.options),
                false => config.data = chosen,
            }
        }
        let number = |value: usize| toml::Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let names = self.modalities.as_ref().map(|names| names.clone().into());
        let given = [
            ("train.epochs", self.epochs.map(number)),
            ("train.batch-size", self.batch_size.map(number)),
            ("train.workers", self.workers.map(number)),
            ("train.modalities", names),
            ("train.precision", self.precision.clone().map(toml::Value::String)),
            ("optimiser.learning-rate", self.lr.map(toml::Value::Float)),
            ("head.name", self.head.clone().map(toml::Value::String)),
            ("encoder.name", self.encoder.clone().map(toml::Value::String)),
            ("data.label", self.label.clone().map(toml::Value::String)),
            ("data.group", self.group.clone().map(toml::Value::String)),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                config.set(key, value)?;
            }
        }
        Ok(())
    }

    /// Checks settings; what is wrong in the file is said with its line.
    pub fn check(&self, config: TrainConfig, registry: &Registry) -> anyhow::Result<CheckedConfig> {
        config.check_with(registry).map_err(|error| match &self.config {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => in_file(path, with_position(&text, error)),
                Err(_) => error.into(),
            },
            None => error.into(),
        })
    }

    /// Opens the data, with bars for what takes long, and says what a user should know of them.
    pub fn open(&self, config: &CheckedConfig) -> anyhow::Result<Box<dyn DataSource>> {
        let opening = Opening {
            data_dir: self.data_dir.as_deref(),
            downloads: &DownloadBar::new(),
            clips: &PrepareBar::new(),
            recipe: None,
        };
        let source = open_data(config, &opening)?;
        for note in source.notes() {
            say(&format!("note: {note}"));
        }
        for warning in source.warnings() {
            say(&format!("warning: {warning}"));
        }
        Ok(source)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The file in front of what is wrong in it, where it is a line of it.
fn in_file(path: &Path, error: Error) -> anyhow::Error {
    match error {
        Error::Setting { field, problem } if problem.contains("line ") => {
            Error::Setting { field, problem: format!("{problem} of {}", path.display()) }.into()
        }
        error => error.into(),
    }
}

/// Key and value of `KEY=VALUE`. Words need no quotes; everything else is TOML.
pub fn parse_assignment(assignment: &str) -> anyhow::Result<(String, toml::Value)> {
    let Some((key, value)) = assignment.split_once('=') else {
        let problem = "give it as KEY=VALUE, such as train.epochs=10";
        return Err(Error::setting(format!("--set {assignment}"), problem).into());
    };
    Ok((key.trim().to_owned(), parse_value(value)))
}
