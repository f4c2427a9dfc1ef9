//! `config.json`: what the weights are.

use serde::Serialize;
use tcmax_data::Modality;
use tcmax_registry::Table;

use super::rule::Rule;
use crate::checkpoint::SavedModel;
use crate::config::TrainConfig;
use crate::identity::DataIdentity;
use crate::{Result, Task, model};

/// What an exported model is.
#[derive(Debug, Serialize)]
pub(super) struct Description {
    /// `tcmax`.
    format: &'static str,
    /// The version of the program.
    version: &'static str,
    /// What is predicted.
    #[serde(skip_serializing_if = "Task::is_classes")]
    pub(super) task: Task,
    /// Names of the classes, labels or numbers, in the order of the outputs.
    pub(super) classes: Vec<String>,
    /// The inputs, in the order of the head.
    pub(super) modalities: Vec<Input>,
    /// The head.
    pub(super) head: Named,
    /// The method of training.
    pub(super) method: Named,
    /// What softmax is taken of; the sigmoid for labels, nothing for numbers.
    predicts_from: Rule,
    /// The epoch (from 1) of the weights.
    epoch: usize,
    /// The run's seed.
    seed: u64,
    /// What the data were.
    data: DataIdentity,
    /// What made inputs of media.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<String>,
    /// Every setting of the run, without where its data were.
    pub(super) settings: TrainConfig,
}

/// One input and its encoder.
#[derive(Debug, Serialize)]
pub(super) struct Input {
    /// Name, kind and shape of one example.
    #[serde(flatten)]
    pub(super) modality: Modality,
    /// Whether the weights `NAME_net.input.mean` and `.scale` standardise it: (x - mean) * scale.
    pub(super) standardised: bool,
    /// The network.
    pub(super) encoder: Named,
    /// The prefix of its weights.
    prefix: String,
    /// Its number of features.
    pub(super) features: usize,
}

/// Something chosen by name, with all its options.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    /// The name.
    pub(super) name: String,
    /// The options.
    options: Table,
}

impl Description {
    pub(super) fn of(saved: &SavedModel, predicts_from: Rule) -> Result<Self> {
        let (card, config) = (&saved.card, saved.config.config());
        let widths = saved.model.head().widths();
        let mut modalities = Vec::with_capacity(widths.len());
        for (position, &m) in saved.model.used_modalities().iter().enumerate() {
            let modality = card.modalities[m].clone();
            let kind = model::input_kind(modality.kind);
            let choice = saved.config.encoder(&modality.name, kind)?;
            modalities.push(Input {
                standardised: saved.model.is_standardised(position),
                encoder: Named { name: choice.spec.name.to_owned(), options: choice.options },
                prefix: format!("{}_net", modality.name),
                features: widths[position],
                modality,
            });
        }
        let named = |name: &str, options: Table| Named { name: name.to_owned(), options };
        let data = saved.config.data().without_paths(config.data.clone());
        Ok(Self {
            format: "tcmax",
            version: env!("CARGO_PKG_VERSION"),
            task: card.task,
            classes: card.classes.clone(),
            modalities,
            head: named(saved.config.head().name, config.head.own_options()),
            method: named(saved.config.method().name, config.method.own_options()),
            predicts_from,
            epoch: card.epoch,
            seed: card.seed,
            data: card.data.clone(),
            recipe: card.recipe.clone(),
            settings: TrainConfig { data, ..config.clone() },
        })
    }
}
