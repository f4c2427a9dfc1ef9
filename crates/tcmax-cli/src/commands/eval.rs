//! `tcmax eval`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tcmax_report::table;
use tcmax_train::checkpoint::{SavedModel, open_model};
use tcmax_train::{
    Classifier, EncodedSplit, Registry, Tested, TestedData, TestedPart, absence, evaluate,
    evaluation_loader,
};

use super::device::DeviceOption;
use super::print;
use super::train::set_threads;
use crate::progress::{DownloadBar, say};

/// Options of `tcmax eval`.
#[derive(Args)]
pub struct Eval {
    /// A run's folder, or its model.safetensors
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceOption,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Which data a model is tested on.
#[derive(Args)]
pub(super) struct DataOptions {
    /// Other data than the run's: the path of files like those it was trained on, with the same
    /// modalities and labels, or the name of a data set
    #[arg(long, value_name = "NAME or PATH")]
    dataset: Option<String>,
    /// Folder with the data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Other data: column or array with the labels [default: as in the run]
    #[arg(long, value_name = "NAME", requires = "dataset")]
    label: Option<String>,
    /// Which split of the data [default: test, and all of other data]
    #[arg(long, value_enum)]
    split: Option<Part>,
    /// Go on although the data have changed since the run, or it was trained on some of them
    #[arg(long)]
    force: bool,
}

/// A part of the data.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Validation,
    Test,
    All,
}

impl DataOptions {
    /// Other data than the run's.
    pub(super) fn dataset(&self) -> Option<&str> {
        self.dataset.as_deref()
    }

    /// Whether labels or a split are asked for.
    pub(super) fn names_labels(&self) -> bool {
        self.label.is_some() || self.split.is_some()
    }

    /// The examples, with the modalities and classes of the model at `path`.
    pub(super) fn open(
        &self,
        saved: &SavedModel,
        path: &Path,
        without: &[String],
    ) -> anyhow::Result<Tested> {
        let part = self.split.map(|part| match part {
            Part::Train => TestedPart::Train,
            Part::Validation => TestedPart::Validation,
            Part::Test => TestedPart::Test,
            Part::All => TestedPart::All,
        });
        let data = TestedData {
            dataset: self.dataset.as_deref(),
            data_dir: self.data_dir.as_deref(),
            label: self.label.as_deref(),
            part,
            without,
            force: self.force,
        };
        let tested = data.open(saved, path, &DownloadBar::new())?;
        for note in &tested.notes {
            say(&format!("note: {note}"));
        }
        Ok(tested)
    }
}

impl Eval {
    /// Rebuilds the model, opens the data, and evaluates.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let device = self.device.open_one()?;
        let saved = open_model(&self.model, registry, &device)?;
        let tested = self.data.open(&saved, &self.model, &[])?;
        let loader = evaluation_loader(&saved.config, tested.data, &device)?;
        let method = saved.model.method(&saved.config, 0)?;
        let count = saved.card.modalities.len();
        let split = EncodedSplit::with_absences(&saved.model, &loader)?;
        let classifier = Classifier {
            model: &saved.model,
            method: method.as_ref(),
            marginals: saved.marginals.as_ref(),
        };
        let evaluation = evaluate(&classifier, &split, count)?;
        let absence = absence(&classifier, &split, count)?;
        if self.json {
            let mut json = serde_json::to_value(&evaluation)?;
            json["absence"] = serde_json::to_value(&absence)?;
            print(&serde_json::to_string_pretty(&json)?)?;
        } else {
            let names: Vec<String> = saved.card.modalities.iter().map(|m| m.name.clone()).collect();
            print(&table::evaluation(&evaluation, absence.as_ref(), &names))?;
        }
        Ok(())
    }
}
