//! Where in a text of settings something stands.

use crate::{Error, Result};

/// Line and column of a key, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPosition {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Where the key `path`, such as `train.epochs`, stands in a TOML text; of a key that is not there, where
/// the table that it would be in is.
pub fn position_of(text: &str, path: &str) -> Option<TextPosition> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut found = None;
    for key in path.split('.') {
        let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else {
            break;
        };
        found = Some(name.span().start);
        let toml::de::DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    let before = text.get(..found?)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    Some(TextPosition { line, column: before[line_start..].chars().count() + 1 })
}

/// Reads a table from text; what is wrong with a setting gets its line.
pub(crate) fn with_positions<T>(
    text: &str,
    read: impl FnOnce(&toml::Table) -> Result<T>,
) -> Result<T> {
    let table = toml::from_str::<toml::Table>(text).map_err(|error| {
        // The message shows the line.
        Error::setting("settings", error.to_string().trim_end().to_owned())
    })?;
    read(&table).map_err(|error| with_position(text, error))
}

/// The error with the line of the setting that it is about, where the text has it.
pub fn with_position(text: &str, error: Error) -> Error {
    match error {
        Error::Setting { field, problem } => match position_of(text, &field) {
            Some(position) => Error::Setting {
                problem: format!("{problem} (line {}, column {})", position.line, position.column),
                field,
            },
            None => Error::Setting { field, problem },
        },
        error => error,
    }
}

/// A value of TOML, or a word without quotes.
///
/// ```
/// use tcmax_train::parse_value;
///
/// assert_eq!(parse_value("3"), toml::Value::Integer(3));
/// assert_eq!(parse_value("none"), toml::Value::String("none".to_owned()));
/// ```
pub fn parse_value(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.trim().to_owned()))
}
