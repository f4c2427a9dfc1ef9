//! A choice by name, with its options, as it stands in files.

use serde::{Deserialize, Serialize};

use crate::{Catalogue, Error, Options, Result, Spec, Table};

/// What was chosen by name, and its options:
///
/// ```toml
/// [method]
/// name = "ogm-ge"
/// alpha = 0.3
///
/// # For when another one is chosen, as a comparison does.
/// [method.tcmax]
/// samples = 4096
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The name; empty for the usual one.
    pub name: String,
    /// Options, and tables of the options of others by their names.
    #[serde(flatten)]
    pub options: Table,
}

impl Choice {
    /// The one called `name`, without options.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), options: Table::new() }
    }

    /// The one called `name` with the options of a struct.
    ///
    /// # Errors
    /// When the struct is no table of TOML.
    pub fn of(name: &str, options: &impl Serialize) -> Result<Self> {
        let options = Table::try_from(options)
            .map_err(|error| Error::WrongType { problem: error.to_string() })?;
        Ok(Self { name: name.to_owned(), options })
    }

    /// The same with an option set.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl Into<toml::Value>) -> Self {
        self.options.insert(option.to_owned(), value.into());
        self
    }

    /// The tables in it: options by the name of what they are for.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &Table)> {
        self.options.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_table()?)))
    }

    /// The options beside the name, without the tables.
    pub fn own_options(&self) -> Table {
        let own = self.options.iter().filter(|(_, value)| !value.is_table());
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The options given for `name`: those beside the name if it is the one chosen (or none is), and those
    /// of the table called so, which win.
    pub fn options_of(&self, name: &str) -> Table {
        let chosen = self.name.is_empty() || self.name == name;
        let mut options = if chosen { self.own_options() } else { Table::new() };
        if let Some(table) = self.options.get(name).and_then(toml::Value::as_table) {
            options.extend(table.clone());
        }
        options
    }

    /// The one called `name` chosen, with all its options, and nothing of others.
    ///
    /// # Errors
    /// When an option does not exist, or its value is wrong.
    pub fn complete(&self, name: &str, options: &Options) -> Result<Self> {
        Ok(Self { name: name.to_owned(), options: options.complete(&self.options_of(name))? })
    }

    /// Checks that every table is called as something in `catalogue`.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_tables<S: Spec>(&self, catalogue: &Catalogue<S>) -> Result<()> {
        self.tables().try_for_each(|(name, _)| catalogue.get(name).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_one_that_was_chosen() {
        let text = "name = \"a\"\nx = 1\n[a]\ny = 2\n[b]\nx = 3";
        let choice: Choice = toml::from_str(text).unwrap();
        assert_eq!(
            choice.options_of("a"),
            toml::toml! {
                x = 1
                y = 2
            }
        );
        assert_eq!(choice.options_of("b"), toml::toml! { x = 3 });
        assert_eq!(choice.options_of("c"), Table::new());
        let again: Choice = toml::from_str(&toml::to_string(&choice).unwrap()).unwrap();
        assert_eq!(again, choice);
    }
}
