//! Options: a struct beside what it sets, read from tables of configuration files.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::nearest::nearest;
use crate::{Error, Result};

/// Options by name, as they stand in configuration files.
pub type Table = toml::Table;

/// A struct of options.
///
/// Its fields are the options, their doc comments the documentation, its default the defaults. It is read
/// with `#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]`.
pub trait OptionSet: Serialize + DeserializeOwned + JsonSchema + Default {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], see [`require`].
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The options that are not serialised, as nothing that is saved depends on them (a number of threads): they
    /// are documented and read as all others.
    fn unsaved(&self) -> Table {
        Table::new()
    }
}

/// For [`OptionSet::check`]: that `holds`, or else that `option` "must be ...".
///
/// # Errors
/// When it does not hold.
pub fn require(holds: bool, option: &'static str, problem: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::OutOfRange { option, problem: problem.to_owned() }) }
}

/// What the options of a specification are.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    documentation: fn() -> Vec<OptionDoc>,
    complete: fn(&Table) -> Result<Table>,
}

/// One option, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDoc {
    /// Its name.
    pub name: String,
    /// Its default as it stands in a file; `None` where it may be left out and has none.
    pub default: Option<String>,
    /// What it does: the doc comment of the field.
    pub text: String,
}

impl Options {
    /// No options.
    pub const NONE: Self = Self::of::<NoOptions>();

    /// The fields of `T`.
    pub const fn of<T: OptionSet>() -> Self {
        Self { documentation: documentation::<T>, complete: complete::<T> }
    }

    /// Every option with its default.
    pub fn documentation(&self) -> Vec<OptionDoc> {
        (self.documentation)()
    }

    /// The options of `table`, with the defaults of those that are not there.
    ///
    /// # Errors
    /// When an option does not exist, or its value has the wrong type or is out of range.
    pub fn complete(&self, table: &Table) -> Result<Table> {
        (self.complete)(table)
    }
}

/// The options of `table` as the struct they are; what is not there has its default.
///
/// # Errors
/// When an option does not exist, or its value has the wrong type or is out of range.
pub fn read<T: OptionSet>(table: &Table) -> Result<T> {
    let known = || documentation::<T>().into_iter().map(|option| option.name);
    if let Some(option) = table.keys().find(|key| !known().any(|name| name == **key)) {
        let options: Vec<String> = known().collect();
        let nearest = nearest(option, options.iter().map(String::as_str)).map(str::to_owned);
        return Err(Error::UnknownOption { option: option.clone(), options, nearest });
    }
    let options = T::deserialize(table.clone());
    let options = options.map_err(|error| Error::WrongType { problem: first_line(&error) })?;
    options.check()?;
    Ok(options)
}

/// The options of things that have none.
#[derive(serde::Serialize, serde::Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

impl OptionSet for NoOptions {}

fn complete<T: OptionSet>(table: &Table) -> Result<Table> {
    let options: T = read(table)?;
    Table::try_from(&options).map_err(|error| Error::WrongType { problem: error.to_string() })
}

fn documentation<T: OptionSet>() -> Vec<OptionDoc> {
    let schema = schemars::schema_for!(T);
    // A struct of plain values is always a table.
    let mut defaults = Table::try_from(T::default()).unwrap_or_default();
    defaults.extend(T::default().unsaved());
    let fields = schema.get("properties").and_then(|fields| fields.as_object());
    let doc = |(name, field): (&String, &serde_json::Value)| OptionDoc {
        name: name.clone(),
        default: defaults.get(name).map(ToString::to_string),
        text: field
            .get("description")
            .and_then(|text| text.as_str())
            .unwrap_or("")
            .replace('\n', " "),
    };
    fields.into_iter().flatten().map(doc).collect()
}

/// toml's errors repeat the input on further lines.
fn first_line(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or_default().to_owned()
}
