//! `tcmax eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tcmax_ops::Seed;
use tcmax_train::checkpoint::{ModelCard, load};
use tcmax_train::{DownloadBar, Error, Model, OpenDataset, evaluate, evaluation_loader, table};

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

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Train,
    Validation,
    Test,
}

impl Eval {
    /// Rebuilds the model, draws the splits of its seed, and evaluates.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let device = device()?;
        let path = if self.model.is_dir() {
            self.model.join("model.safetensors")
        } else {
            self.model.clone()
        };
        let (state, card): (_, ModelCard) = load(&path, &device)?;
        let config = card.config.clone().check()?;
        let data =
            OpenDataset::open(&card.config.dataset, self.data_dir.as_deref(), &DownloadBar::new())?;
        let splits = data.splits(card.seed)?;
        if splits.test.modalities() != card.modalities || splits.test.classes() != card.classes {
            let problem = "the data set has other modalities or classes than the model was trained \
                           on";
            return Err(Error::bad_file(&path, problem).into());
        }
        let classes = card.classes.len();
        let model = Model::new(&config, &card.modalities, classes, Seed::new(card.seed), &device)?;
        model.params().load(&state).map_err(|e| Error::bad_file(&path, e.to_string()))?;
        let part = match self.part {
            Part::Train => splits.train,
            Part::Validation => splits.validation,
            Part::Test => splits.test,
        };
        let loader = evaluation_loader(&config, part, &device)?;
        let method = model.method(&config, 0)?;
        let evaluation = evaluate(&model, method.as_ref(), &loader, card.modalities.len())?;
        if self.json {
            print(&serde_json::to_string_pretty(&evaluation)?);
        } else {
            let names: Vec<String> = card.modalities.iter().map(|m| m.name.clone()).collect();
            print(&table::evaluation(&evaluation, &names));
        }
        Ok(())
    }
}
