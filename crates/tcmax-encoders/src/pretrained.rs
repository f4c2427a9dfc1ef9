//! How a network's parameters and sizes are called in the files that others publish.

use serde_json::Value;
use tcmax_registry::{Table, require};

use crate::error::{Error, Result};

/// What a tensor of a published file is to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamName {
    /// The parameter or buffer of this name.
    Parameter(String),
    /// Nothing: a head for another task, a buffer that nothing reads.
    Ignored,
}

/// How a network is published.
pub struct Pretrained {
    /// What a tensor's name in a file means.
    pub names: fn(&str) -> UpstreamName,
    /// The options that a `config.json` beside the weights gives.
    pub options: fn(&Value) -> Result<Table>,
    /// The filters of the first layer, whose channels are those of the input; none of text.
    pub first_layer: Option<&'static str>,
    /// The table of positions of patches, behind one of a class token; none where there are no patches.
    pub positions: Option<&'static str>,
}

/// The name without the first of the prefixes that it has.
pub(crate) fn strip(name: &str, prefixes: &[&str]) -> String {
    let inner = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    inner.unwrap_or(name).to_owned()
}

/// Options from the entries of a `config.json`: pairs of (entry, option). Entries that are not there leave
/// the option to its default.
///
/// # Errors
/// When an entry is no number, text or truth value.
pub(crate) fn options_from(config: &Value, pairs: &[(&str, &str)]) -> Result<Table> {
    let mut options = Table::new();
    for (entry, option) in pairs {
        let value = match config.get(entry) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => toml::Value::String(text.replace('_', "-")),
            Some(Value::Bool(flag)) => toml::Value::Boolean(*flag),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => toml::Value::Integer(whole),
                (None, Some(real)) => toml::Value::Float(real),
                _ => return Err(odd(entry)),
            },
            Some(_) => return Err(odd(entry)),
        };
        options.insert((*option).to_owned(), value);
    }
    Ok(options)
}

/// The part of a configuration under the first of the names that it has, or all of it.
pub(crate) fn part<'a>(config: &'a Value, names: [&str; 2]) -> &'a Value {
    names.iter().find_map(|name| config.get(name)).unwrap_or(config)
}

fn odd(entry: &str) -> Error {
    Error::Config { entry: entry.to_owned() }
}

/// Most features, tokens, words ... of a transformer.
const MOST: usize = 1 << 24;

/// Checks the options that all transformers have.
pub(crate) fn check_transformer(
    sizes: &[(&'static str, usize)],
    [width, heads]: [usize; 2],
    dropout: f64,
) -> tcmax_registry::Result<()> {
    for (name, size) in sizes.iter().copied().chain([("width", width), ("heads", heads)]) {
        require((1..=MOST).contains(&size), name, &format!("must be 1 to {MOST}"))?;
    }
    require(width % heads == 0, "heads", &format!("must divide the width, {width}"))?;
    require((0.0..1.0).contains(&dropout), "dropout", "must be at least 0 and below 1")
}
