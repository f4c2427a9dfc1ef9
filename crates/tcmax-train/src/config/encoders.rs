//! The section `[encoder]`: which network encodes a modality, and how it is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_encoders::{EncoderSpec, GRU, InputKind, MLP, RESNET_SLIM};
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
    /// Pre-trained weights to start from: a file, a folder, or a repository of the Hugging Face hub,
    /// "hub:owner/name@revision". Sizes, tokenizer and normalisation that lie beside them are used where the
    /// keys below and those of the network are absent.
    pub weights: Option<String>,
    /// What becomes of the weights' first layer where they are for another number of channels: the mean over
    /// them, or new filters. Absent: it is an error.
    pub first_layer: Option<FirstLayer>,
    /// The tokenizer of a text column: a tokenizer.json, its folder, or a repository of the hub.
    pub tokenizer: Option<String>,
    /// Most tokens of a text, special ones included; absent: 64, and no more than the network has positions.
    pub tokens: Option<usize>,
    /// Factors of the channels of images before the network; absent: 1.
    pub input_scale: Option<Vec<f64>>,
    /// Summands of the channels of images, after the factors; absent: 0.
    pub input_shift: Option<Vec<f64>>,
}

/// What becomes of a first layer for another number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstLayer {
    /// Its mean over the channels, scaled so that outputs keep their size.
    Mean,
    /// New filters.
    New,
}

impl Default for EncoderTraining {
    fn default() -> Self {
        Self {
            rate_factor: 1.0,
            weight_decay: None,
            frozen_epochs: 0,
            weights: None,
            first_layer: None,
            tokenizer: None,
            tokens: None,
            input_scale: None,
            input_shift: None,
        }
    }
}

impl OptionSet for EncoderTraining {
    fn check(&self) -> tcmax_registry::Result<()> {
        let rate = self.rate_factor.is_finite() && self.rate_factor >= 0.0;
        require(rate, "rate-factor", "must be a number, at least 0")?;
        let decay = self.weight_decay.is_none_or(|decay| decay.is_finite() && decay >= 0.0);
        require(decay, "weight-decay", "must be at least 0")?;
        let tokens = self.tokens.is_none_or(|tokens| (1..=MOST_TOKENS).contains(&tokens));
        require(tokens, "tokens", &format!("must be 1 to {MOST_TOKENS}"))?;
        let finite = |values: &Option<Vec<f64>>| values.iter().flatten().all(|x| x.is_finite());
        require(finite(&self.input_scale), "input-scale", "must be numbers")?;
        require(finite(&self.input_shift), "input-shift", "must be numbers")
    }
}

/// Most tokens of a text.
const MOST_TOKENS: usize = 1 << 16;

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
        let section = format!("encoder.{modality}");
        let mut table = table.clone();
        let table = match table.remove("name") {
            None => unnamed(&section, &choice.name, &own, &table, encoders)?,
            Some(toml::Value::String(name)) => {
                let mut options = if name == choice.name { own.clone() } else { Table::new() };
                options.extend(table);
                let mut table = complete(&section, &name, &options, encoders)?;
                table.insert("name".to_owned(), name.into());
                table
            }
            Some(_) => {
                return Err(Error::setting(format!("{section}.name"), "must be a name, in quotes"));
            }
        };
        choice.options.insert(modality.to_owned(), table.into());
    }
    Ok(choice)
}

/// The table of a modality that names no network: it has the one that it would have without the table, which
/// depends on its inputs. Options that neither of these networks has are refused.
fn unnamed(
    section: &str,
    general: &str,
    own: &Table,
    given: &Table,
    encoders: &Catalogue<EncoderSpec>,
) -> Result<Table> {
    let fits = |name: &str| complete(section, name, given, encoders).map(|_| ());
    fits(general).or_else(|error| {
        let usual = [&MLP, &RESNET_SLIM, &GRU].into_iter();
        usual.map(|spec| fits(spec.name)).find(Result::is_ok).unwrap_or(Err(error))
    })?;
    let (mut training, _) = parted(own);
    let (of_table, network) = parted(given);
    training.extend(of_table);
    let training = Options::of::<EncoderTraining>().complete(&training);
    let mut table = training.map_err(|error| super::checked::in_section(section, error))?;
    table.extend(network);
    Ok(table)
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
    let general = encoders.get(network(choice))?;
    let (general_training, general_network) = parted(&choice.own_options());
    // Without a word on it, inputs that the general encoder does not take have the usual one for them.
    let (spec, options) = match (general.takes(kind), kind) {
        (true, _) => (general, general_network),
        (false, InputKind::Vector) => (&MLP, Table::new()),
        (false, InputKind::Sequence) => (&GRU, Table::new()),
        (false, _) => (&RESNET_SLIM, Table::new()),
    };
    let Some(own) = choice.options.get(name).and_then(toml::Value::as_table) else {
        let options = spec.options.complete(&options)?;
        return Ok(EncoderChoice { spec, options, training: read(&general_training)? });
    };
    let (training, mut own) = parted(own);
    let training = read(&training)?;
    let (spec, given) = match own.remove("name") {
        Some(toml::Value::String(name)) => (encoders.get(&name)?, own),
        _ => (spec, options.into_iter().chain(own).collect()),
    };
    let options = spec.options.complete(&given);
    let section = format!("encoder.{name}");
    let options = options.map_err(|error| super::checked::in_section(&section, error))?;
    Ok(EncoderChoice { spec, options, training })
}
