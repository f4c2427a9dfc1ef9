//! Settings of a training run: parsed anywhere, checked once.

mod candidates;
mod checked;
mod encoders;
mod schedule;
mod text;
mod training;

use serde::{Deserialize, Serialize};
use tcmax_registry::Choice;

use crate::{Error, Result};

pub use candidates::Candidate;
pub use checked::CheckedConfig;
pub use encoders::{EncoderChoice, EncoderTraining, FirstLayer};
pub use text::{TextPosition, parse_value, position_of, with_position};
pub use training::{BatchNorm, ClassWeights, Keep, Precision, TrainingOptions, WeightRule};
pub(crate) use {
    candidates::{lists, short, word},
    checked::in_section,
    schedule::length as schedule_length,
    schedule::of_length,
    text::with_positions,
};

/// Everything that determines a run but its seed, as it stands in a configuration file, section by
/// section.
///
/// The defaults are the recipe of the main experiment: TCMax on the concatenated features of small ResNets,
/// SGD with learning rate 0.05, momentum 0.9, weight decay 1e-4, batches of 32, 40 epochs, rate x 0.1 after
/// three quarters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// The data set and its options.
    pub data: Choice,
    /// The encoder of every modality whose inputs it takes, and tables of encoders by modality.
    pub encoder: Choice,
    /// Fusion head; without a name the one the method comes with.
    pub head: Choice,
    /// What to train by.
    pub method: Choice,
    /// What makes steps of gradients.
    pub optimiser: Choice,
    /// How the learning rate changes.
    pub schedule: Choice,
    /// The loop.
    pub train: TrainingOptions,
    /// Lists of values of other keys, such as "method.alpha" = \[0.1, 0.4\]: a run trains with every combination, and
    /// keeps the model of the best validation accuracy.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub choose: toml::Table,
}

impl TrainConfig {
    /// The names of the sections, in the order to write them.
    pub const SECTIONS: [&'static str; 8] =
        ["data", "encoder", "head", "method", "optimiser", "schedule", "train", "choose"];

    /// Reads settings as they stand in a configuration file; what is not there has its default.
    ///
    /// ```
    /// let config = tcmax_train::TrainConfig::from_toml("[train]\nepochs = 3\n[data]\nname = \"av-digits\"")?;
    /// assert_eq!(config.train.epochs, 3);
    /// let error = tcmax_train::TrainConfig::from_toml("[train]\n\nepoch = 3").unwrap_err().to_string();
    /// assert!(error.contains("line 3") && error.contains("did you mean 'epochs'?"), "{error}");
    /// # Ok::<(), tcmax_train::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn from_toml(text: &str) -> Result<Self> {
        with_positions(text, Self::from_table)
    }

    /// Reads settings from a table of sections.
    ///
    /// # Errors
    /// What is wrong, with the key.
    pub fn from_table(table: &toml::Table) -> Result<Self> {
        checked::read_sections(table)
    }

    /// Sets one key, such as `train.epochs` or `method.ogm.alpha`; `name` chooses another method (head ...),
    /// and keeps the options of the one before for when that is chosen again.
    ///
    /// # Errors
    /// When there is no such section, or the value does not fit the loop.
    pub fn set(&mut self, key: &str, value: toml::Value) -> Result<()> {
        let (section, rest) = key.split_once('.').unwrap_or((key, ""));
        if section == "train" {
            self.train = self.train.with(rest, value)?;
            return Ok(());
        }
        if section == "choose" && !rest.is_empty() {
            self.choose.insert(rest.to_owned(), value);
            return Ok(());
        }
        let Some(choice) = self.section(section) else {
            return Err(checked::no_section(section));
        };
        if rest.is_empty() {
            let problem = format!("is a section; set one of its keys, such as {section}.name");
            return Err(Error::setting(key, problem));
        }
        if rest == "name" {
            let toml::Value::String(name) = value else {
                return Err(Error::setting(key, "must be a name"));
            };
            *choice = renamed(std::mem::take(choice), &name);
            return Ok(());
        }
        put(&mut choice.options, rest, value).map_err(|problem| Error::setting(key, problem))
    }

    fn section(&mut self, name: &str) -> Option<&mut Choice> {
        Some(match name {
            "data" => &mut self.data,
            "encoder" => &mut self.encoder,
            "head" => &mut self.head,
            "method" => &mut self.method,
            "optimiser" => &mut self.optimiser,
            "schedule" => &mut self.schedule,
            _ => return None,
        })
    }

    /// The same trained by another method, with the options that this has for it.
    #[must_use]
    pub fn by_method(mut self, name: &str) -> Self {
        self.method = renamed(self.method, name);
        self
    }

    /// The same with another head, with the options that this has for it.
    #[must_use]
    pub fn with_head(mut self, name: &str) -> Self {
        self.head = renamed(self.head, name);
        self
    }
}

/// Puts a value at a path of keys, making the tables on the way.
fn put(table: &mut toml::Table, path: &str, value: toml::Value) -> std::result::Result<(), String> {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    let inner = table.entry(first.to_owned()).or_insert_with(|| toml::Table::new().into());
    let inner = inner.as_table_mut().ok_or_else(|| format!("'{first}' is no table"))?;
    put(inner, rest, value)
}

/// Another chosen; what was chosen by name keeps its options in a table.
fn renamed(choice: Choice, name: &str) -> Choice {
    if choice.name == name {
        return choice;
    }
    if choice.name.is_empty() {
        // They are of whatever is chosen.
        return Choice { name: name.to_owned(), ..choice };
    }
    let own = choice.own_options();
    let mut options = choice.options.clone();
    options.retain(|_, value| value.is_table());
    if !own.is_empty() {
        let table = options.entry(choice.name.clone()).or_insert_with(|| toml::Table::new().into());
        if let Some(table) = table.as_table_mut() {
            for (option, value) in own {
                table.entry(option).or_insert(value);
            }
        }
    }
    Choice { name: name.to_owned(), options }
}

#[cfg(test)]
mod tests;
