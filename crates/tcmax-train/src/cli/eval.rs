//! `tcmax eval`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tcmax_data::{Dataset, Splits};
use tcmax_train::checkpoint::{SavedModel, open_model};
use tcmax_train::{
    Classifier, DownloadBar, EncodedSplit, Error, OpenDataset, absence, evaluate,
    evaluation_loader, table,
};

use super::print;
use super::train::{device, set_threads};

/// Options of `tcmax eval`.
#[derive(Args)]
pub struct Eval {
    /// A run's folder, or its model.safetensors
    model: PathBuf,
    /// Folder with the data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which part of the data
    #[arg(long, value_enum, default_value_t = Part::Test)]
    part: Part,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A part of the data.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// That part of the splits.
    pub(super) fn of(self, splits: &Splits) -> Arc<dyn Dataset> {
        match self {
            Self::Train => splits.train.clone(),
            Self::Validation => splits.validation.clone(),
            Self::Test => splits.test.clone(),
        }
    }
}

/// The splits that a model was trained on.
pub(super) fn splits_of(
    saved: &SavedModel,
    data_dir: Option<&Path>,
    path: &Path,
) -> anyhow::Result<Splits> {
    let card = &saved.card;
    let data = OpenDataset::open(&card.config.dataset, data_dir, &DownloadBar::new())?;
    let splits = data.splits(card.seed)?;
    if splits.test.modalities() != card.modalities || splits.test.classes() != card.classes {
        let problem = "the data set has other modalities or classes than the model was trained on";
        return Err(Error::bad_file(path, problem).into());
    }
    Ok(splits)
}

impl Eval {
    /// Rebuilds the model, draws the splits of its seed, and evaluates.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let device = device()?;
        let saved = open_model(&self.model, &device)?;
        let splits = splits_of(&saved, self.data_dir.as_deref(), &self.model)?;
        let loader = evaluation_loader(&saved.config, self.part.of(&splits), &device)?;
        let method = saved.model.method(&saved.config, 0)?;
        let count = saved.card.modalities.len();
        let split = EncodedSplit::of(&saved.model, &loader)?;
        let classifier = Classifier {
            model: &saved.model,
            method: method.as_ref(),
            stand: saved.stand.as_ref(),
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
