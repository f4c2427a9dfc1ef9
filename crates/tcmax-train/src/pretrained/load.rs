//! Weights of files as the values of a model's parameters.

use tcmax_encoders::UpstreamName;
use tcmax_pretrained::{Channels, Loading, NoProgress, Renamed, Tensors, load};

use super::settings::files;
use crate::config::{EncoderChoice, FirstLayer};
use crate::{Error, Model, Result};

/// What a network has and no file: what standardises its inputs, and where its dropout is.
const OWN: [&str; 3] = ["input.mean", "input.scale", "dropout.steps"];

/// Loads the weights of every encoder that has some; what became of their tensors, for people.
///
/// # Errors
/// When weights are not found, cannot be read, or do not fit the network; the model is of no use then.
pub(crate) fn load_weights(model: &Model) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (prefix, choice) in model.choices() {
        let Some(weights) = &choice.training.weights else { continue };
        let modality = prefix.strip_suffix("_net").unwrap_or(prefix);
        let report = of_encoder(model, prefix, choice, weights)
            .map_err(|problem| Error::setting(format!("encoder.{modality}.weights"), problem))?;
        notes.push(format!("{modality}: weights of {weights}: {report}"));
    }
    Ok(notes)
}

fn of_encoder(
    model: &Model,
    prefix: &str,
    choice: &EncoderChoice,
    weights: &str,
) -> std::result::Result<String, String> {
    let Some(published) = choice.spec.pretrained else {
        return Err(format!("nobody publishes weights of '{}'", choice.spec.name));
    };
    let files = files(weights, &NoProgress)?;
    let tensors = Tensors::open(&files.weights).map_err(|error| error.to_string())?;
    let names = |name: &str| {
        // A model that was wrapped for several devices.
        let name = name.strip_prefix("module.").unwrap_or(name);
        match (published.names)(name) {
            UpstreamName::Parameter(name) => Renamed::To(name),
            UpstreamName::Ignored => Renamed::Ignored,
        }
    };
    let prefix = format!("{prefix}.");
    // The file of a network with a pooler also fits one that does without.
    let without_pooler = |name: &str| match names(name) {
        Renamed::To(own) if own.starts_with("pooler.") && !has(model, &prefix, &own) => {
            Renamed::Ignored
        }
        renamed => renamed,
    };
    let channels = choice.training.first_layer.map(|first| match first {
        FirstLayer::Mean => Channels::Mean,
        FirstLayer::New => Channels::New,
    });
    let loading = Loading {
        may_miss: &OWN,
        channels: published.first_layer.zip(channels),
        ..Loading::new(&prefix, &without_pooler)
    };
    let mut report = load(model.params(), &tensors, &loading).map_err(|error| error.to_string())?;
    // Nobody would expect these in a file.
    report.missing.retain(|name| !OWN.iter().any(|own| name.ends_with(own)));
    Ok(report.to_string().replace('\n', "; "))
}

fn has(model: &Model, prefix: &str, name: &str) -> bool {
    let full = format!("{prefix}{name}");
    model.params().trainable().any(|(own, _)| own == full)
}
