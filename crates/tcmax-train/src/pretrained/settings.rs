//! Settings of what lies beside weights: sizes of the network, tokenizer, normalisation.

use std::path::Path;

use tcmax_datasets::FILES;
use tcmax_encoders::{EncoderSpec, InputKind, RESNET_SLIM};
use tcmax_pretrained::{DownloadProgress, Files, Hub, Preprocess, Source};
use tcmax_registry::Table;

use crate::config::TrainConfig;
use crate::{Error, Registry, Result};

/// Tokens of a text where nothing is said of it.
const USUAL_TOKENS: i64 = 64;

/// What images are normalised by before a network sees them: mean and standard deviation of ImageNet.
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// The settings with those that lie beside the weights of encoders: what `config.json` says of the network, the
/// tokenizer of a text column, the normalisation of images. What is set already stays. Weights of the hub are
/// downloaded, see [`Hub::from_env`].
///
/// It is done once, before a run: the run keeps them, and does not ask again.
///
/// # Errors
/// When weights are not found, are for a network that nobody publishes, or a file beside them is damaged.
pub fn with_published_settings(
    mut config: TrainConfig,
    registry: &Registry,
    progress: &dyn DownloadProgress,
) -> Result<TrainConfig> {
    let general = config.encoder.name.clone();
    let named: Vec<String> = config.encoder.tables().map(|(name, _)| name.to_owned()).collect();
    let mut own = config.encoder.own_options();
    if own.contains_key("weights") {
        let network = if general.is_empty() { RESNET_SLIM.name } else { &general };
        complete("encoder", &mut own, network, registry, progress)?;
        config.encoder.options.extend(own);
    }
    for name in named {
        let section = format!("encoder.{name}");
        let Some(toml::Value::Table(table)) = config.encoder.options.get_mut(&name) else {
            continue;
        };
        let network = match (table.get("name"), table.contains_key("weights")) {
            (Some(toml::Value::String(network)), _) => network.clone(),
            (_, true) => {
                let problem = "weights are for one network: give its name too";
                return Err(Error::setting(format!("{section}.name"), problem));
            }
            _ => continue,
        };
        if table.contains_key("weights") {
            complete(&section, table, &network, registry, progress)?;
        }
        let spec = found(&section, &network, registry)?;
        if spec.takes(InputKind::Tokens) {
            let tokens = tokens(table, spec);
            let tokenizer = table.get("tokenizer").cloned();
            tokenize(&mut config.data.options, &config.data.name, &name, tokenizer, tokens);
        }
    }
    Ok(config)
}

fn found(section: &str, name: &str, registry: &Registry) -> Result<&'static EncoderSpec> {
    let found = registry.encoders.get(name);
    found.map_err(|error| crate::config::in_section(section, error))
}

/// Adds to a table what lies beside its weights.
fn complete(
    section: &str,
    table: &mut Table,
    network: &str,
    registry: &Registry,
    progress: &dyn DownloadProgress,
) -> Result<()> {
    let key = format!("{section}.weights");
    let spec = found(section, network, registry)?;
    let Some(toml::Value::String(weights)) = table.get("weights").cloned() else {
        return Err(Error::setting(key, "must be text: a file, a folder, or hub:owner/name"));
    };
    let Some(published) = spec.pretrained else {
        let problem = format!("nobody publishes weights of '{network}'; see `tcmax methods`");
        return Err(Error::setting(key, problem));
    };
    let files = files(&weights, progress).map_err(|problem| Error::setting(&key, problem))?;
    let known = spec.options.documentation();
    for (option, value) in sizes(&files, published.options).map_err(|p| Error::setting(&key, p))? {
        if known.iter().any(|of_network| of_network.name == option) {
            table.entry(option).or_insert(value);
        }
    }
    if spec.takes(InputKind::Image) {
        normalise(table, &files).map_err(|problem| Error::setting(&key, problem))?;
    }
    if let Ok(path) = Path::new(&weights).canonicalize() {
        table.insert("weights".to_owned(), path.display().to_string().into());
    }
    if spec.takes(InputKind::Tokens) && files.tokenizer.is_some() {
        let source = table["weights"].clone();
        let of_path = files.tokenizer.map(|path| path.display().to_string().into());
        let is_hub = weights.starts_with("hub:");
        let tokenizer = if is_hub { Some(source) } else { of_path };
        tokenizer.map(|tokenizer| table.entry("tokenizer").or_insert(tokenizer));
    }
    Ok(())
}

/// The files of weights.
pub(super) fn files(
    weights: &str,
    progress: &dyn DownloadProgress,
) -> std::result::Result<Files, String> {
    let source = Source::parse(weights).map_err(|error| error.to_string())?;
    source.open_with(&Hub::from_env(), progress).map_err(|error| error.to_string())
}

/// What a `config.json` says, as options.
fn sizes(
    files: &Files,
    options: fn(&serde_json::Value) -> tcmax_encoders::Result<Table>,
) -> std::result::Result<Table, String> {
    let Some(path) = &files.config else { return Ok(Table::new()) };
    let in_file = |error: String| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| in_file(error.to_string()))?;
    let config = serde_json::from_slice(&bytes).map_err(|error| in_file(error.to_string()))?;
    options(&config).map_err(|error| in_file(error.to_string()))
}

/// The network's normalisation instead of ImageNet's, by which pictures come.
fn normalise(table: &mut Table, files: &Files) -> std::result::Result<(), String> {
    let Some(path) = &files.preprocessor else { return Ok(()) };
    let preprocess = Preprocess::read(path).map_err(|error| error.to_string())?;
    let (mean, deviation) = IMAGENET;
    if preprocess.mean.len() != mean.len() || preprocess.mean == mean && preprocess.std == deviation
    {
        return Ok(());
    }
    let own = preprocess.mean.iter().zip(&preprocess.std).zip(mean.iter().zip(&deviation));
    // (x * deviation + mean - own mean) / own deviation.
    let (scale, shift): (Vec<f64>, Vec<f64>) = own
        .map(|((own_mean, own), (mean, deviation))| (deviation / own, (mean - own_mean) / own))
        .unzip();
    if !table.contains_key("input-scale") && !table.contains_key("input-shift") {
        table.insert("input-scale".to_owned(), scale.into());
        table.insert("input-shift".to_owned(), shift.into());
    }
    Ok(())
}

/// Most tokens of a text: what is set, or the usual number, within the network's positions.
fn tokens(table: &Table, spec: &EncoderSpec) -> i64 {
    let given = table.get("tokens").and_then(toml::Value::as_integer);
    let complete = spec.options.complete(&Table::new()).unwrap_or_default();
    let positions = table.get("positions").or_else(|| complete.get("positions"));
    let most = positions.and_then(toml::Value::as_integer).unwrap_or(USUAL_TOKENS);
    given.unwrap_or_else(|| USUAL_TOKENS.min(most))
}

/// Has a text column of user data cut into tokens.
fn tokenize(
    data: &mut Table,
    name: &str,
    column: &str,
    tokenizer: Option<toml::Value>,
    tokens: i64,
) {
    let (true, Some(tokenizer)) = (name == FILES.name, tokenizer) else { return };
    let entry = |value: toml::Value| Table::from_iter([(column.to_owned(), value)]);
    for (key, value) in [("tokenizers", tokenizer), ("tokens", tokens.into())] {
        match data.get_mut(key) {
            Some(toml::Value::Table(table)) => {
                table.entry(column).or_insert(value);
            }
            _ => {
                data.insert(key.to_owned(), entry(value).into());
            }
        }
    }
}
