//! The section `[encoder]`: which network encodes a modality, and how it is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_encoders::{EncoderSpec, InputKind, MLP, RESNET_SLIM};
use tcmax_registry::{Catalogue, Choice, OptionSet, Options, Table, read, require};

use crate::{Error, Result};

/// How an encoder is trained, beside the options of its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EncoderTraining {
    /// Factor of the learning rate for its parameters.
    pub rate_factor: f64,
    /// Weight decay of its parameters; absent: the optimiser's.
    pub weight_decay: Option<f64>,
    /// Epochs at the start in which its parameters stay as they are.
    pub frozen_epochs: usize,
}

impl Default for EncoderTraining {
    fn default() -> Self {
        Self { rate_factor: 1.0, weight_decay: None, frozen_epochs: 0 }
    }
}

impl OptionSet for EncoderTraining {
    fn check(&self) -> tcmax_registry::Result<()> {
        let rate = self.rate_factor.is_finite() && self.rate_factor >= 0.0;
        require(rate, "rate-factor", "must be a number, at least 0")?;
        let decay = self.weight_decay.is_none_or(|decay| decay.is_finite() && decay >= 0.0);
        require(decay, "weight-decay", "must be at least 0")
    }
}

/// The encoder of one modality.
#[derive(Clone, Debug)]
pub struct EncoderChoice {
    /// The network.
    pub spec: &'static EncoderSpec,
    /// The network's options, all of them.
    pub options: Table,
    /// How it is trained.
    pub training: EncoderTraining,
}

/// The section with every option in it: the general encoder, and those of modalities by name.
pub(super) fn completed(given: &Choice, encoders: &Catalogue<EncoderSpec>) -> Result<Choice> {
    let general = network(given).to_owned();
    let own = given.own_options();
    let mut choice =
        Choice { options: complete("encoder", &general, &own, encoders)?, name: general };
    for (modality, table) in given.tables() {
        let mut table = table.clone();
        let name = table.remove("name");
        let name = match &name {
            None => None,
            Some(name) => Some(name.as_str().ok_or_else(|| {
                Error::setting(format!("encoder.{modality}.name"), "must be a name, in quotes")
            })?),
        };
        let mut options = match name {
            Some(name) if name != choice.name => Table::new(),
            _ => own.clone(),
        };
        options.extend(table);
        let name = name.unwrap_or(&choice.name);
        let section = format!("encoder.{modality}");
        let mut table = complete(&section, name, &options, encoders)?;
        table.insert("name".to_owned(), name.into());
        choice.options.insert(modality.to_owned(), table.into());
    }
    Ok(choice)
}

/// The general network.
fn network(choice: &Choice) -> &str {
    if choice.name.is_empty() { RESNET_SLIM.name } else { &choice.name }
}

/// All options of an encoder: its network's and those of its training.
fn complete(
    section: &str,
    name: &str,
    given: &Table,
    encoders: &Catalogue<EncoderSpec>,
) -> Result<Table> {
    let spec = encoders.get(name).map_err(|error| super::checked::in_section(section, error))?;
    let (training, network) = parted(given);
    let wrong = |error| super::checked::in_section(section, error);
    let mut table = spec.options.complete(&network).map_err(|error| match error {
        // Those of training are options too.
        tcmax_registry::Error::UnknownOption { option, mut options, .. } => {
            options.extend(training_names());
            let nearest = tcmax_registry::nearest(&option, options.iter().map(String::as_str));
            let nearest = nearest.map(str::to_owned);
            wrong(tcmax_registry::Error::UnknownOption { option, options, nearest })
        }
        error => wrong(error),
    })?;
    table.extend(Options::of::<EncoderTraining>().complete(&training).map_err(wrong)?);
    Ok(table)
}

/// Options of training, and those of the network.
fn parted(options: &Table) -> (Table, Table) {
    let names: Vec<String> = training_names().collect();
    options.clone().into_iter().partition(|(name, _)| names.contains(name))
}

fn training_names() -> impl Iterator<Item = String> {
    Options::of::<EncoderTraining>().documentation().into_iter().map(|option| option.name)
}

/// The encoder of a modality called `name` with inputs of the given kind; `choice` is completed.
pub(super) fn encoder_of(
    choice: &Choice,
    encoders: &Catalogue<EncoderSpec>,
    name: &str,
    kind: InputKind,
) -> Result<EncoderChoice> {
    let own = choice.options.get(name).and_then(toml::Value::as_table);
    let (spec, options) = match own {
        Some(table) => {
            let spec = table.get("name").and_then(toml::Value::as_str).unwrap_or(network(choice));
            let mut options = table.clone();
            options.remove("name");
            (encoders.get(spec)?, options)
        }
        None => (encoders.get(network(choice))?, choice.own_options()),
    };
    let (training, network) = parted(&options);
    let training = read(&training)?;
    if own.is_some() || spec.takes(kind) {
        return Ok(EncoderChoice { spec, options: network, training });
    }
    // The general encoder is not for such inputs: the usual one is.
    let spec = if kind == InputKind::Vector { &MLP } else { &RESNET_SLIM };
    let options = spec.options.complete(&Table::new())?;
    Ok(EncoderChoice { spec, options, training })
}
