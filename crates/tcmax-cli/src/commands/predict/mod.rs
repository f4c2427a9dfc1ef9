//! `tcmax predict`.

mod columns;
mod line;
mod output;
mod source;

use std::path::PathBuf;

use clap::Args;
use tcmax_ops::Seed;
use tcmax_train::checkpoint::open_model;
use tcmax_train::{Prediction, Predictor, Registry, Task, evaluation_loader};

use self::output::{Format, Output};
use super::device::DeviceOption;
use super::eval::DataOptions;
use super::print;
use super::train::set_threads;

/// Options of `tcmax predict`.
#[derive(Args)]
#[command(
    after_help = "New data need no labels: a feature file, feature tables, a manifest of media, prepared \
                  clips, or a manifest on standard input (--dataset -), whose paths start from the current \
                  folder. Media are decoded as those were that the model was trained on.\n\nColumns: id (of \
                  the example, or else its row); label, where the data have labels; prediction; p(CLASS) \
                  for every class; for every modality its own prediction; and, where none is absent, \
                  matching, the log-density ratio log p(z_1, ..) / p(z_1) .. in nats up to a constant: low \
                  for modalities that do not belong together. The last two are empty where an example \
                  lacks a modality. Lines of JSON have the keys id, label, prediction, probabilities, \
                  modalities and matching.\n\nOf several labels: id; label and prediction, those of the example \
                  and those of a probability of at least one half, with ';' between them; p(LABEL) for every \
                  label. Of regression: id; the number, where the data have it, and the predicted one, for \
                  every number."
)]
pub struct Predict {
    /// A run's folder, or its model.safetensors
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Other data: leave their labels out
    #[arg(long, requires = "dataset", conflicts_with_all = ["label", "split"])]
    unlabelled: bool,
    /// Predict as if these modalities were absent
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    without: Vec<String>,
    /// How predictions are written [default: csv, and jsonl into a file that is called so]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the predictions into this file instead of printing them
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    #[command(flatten)]
    device: DeviceOption,
}

impl Predict {
    /// Predicts every example, batch by batch.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let device = self.device.open_one()?;
        let saved = open_model(&self.model, registry, &device)?;
        let predictor = Predictor::new(&saved, &self.without, &self.model)?;
        let data = self.open(&saved, registry)?;
        let loader = evaluation_loader(&saved.config, data.clone(), &device)?;
        let format = self.format.unwrap_or_else(|| Format::of(self.file.as_deref()));
        let mut output =
            Output::start(format, self.file.as_deref(), &predictor, data.is_labelled())?;
        let (mut examples, mut right) = (0, 0);
        // Nothing is drawn from this seed: the loader neither shuffles nor augments.
        for batch in loader.epoch(Seed::new(0)) {
            let predictions = predictor.predict(data.as_ref(), &batch?)?;
            examples += predictions.len();
            right += predictions.iter().filter(|p| is_right(p)).count();
            if !output.write(&predictions)? {
                // Nobody reads on.
                return Ok(());
            }
        }
        output.finish()?;
        if let Some(path) = &self.file {
            let accuracy = 100.0 * right as f64 / examples.max(1) as f64;
            let accuracy = match data.task() {
                Task::Classes if data.is_labelled() => format!("; {accuracy:.2} % are right"),
                Task::Labels if data.is_labelled() => {
                    format!("; {accuracy:.2} % have every label right")
                }
                _ => String::new(),
            };
            print(&format!("{examples} predictions in {}{accuracy}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether a class, or every label, is predicted right.
fn is_right(prediction: &Prediction) -> bool {
    match &prediction.targets {
        None => prediction.label == Some(prediction.class),
        Some(targets) => {
            let mut pairs = targets.iter().zip(&prediction.values);
            pairs.all(|(target, value)| (*target != 0.0) == (*value >= 0.5))
        }
    }
}
