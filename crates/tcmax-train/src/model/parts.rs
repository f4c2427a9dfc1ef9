//! The parts that a model of some data is made of.

use tcmax_data::{Modality, ModalityKind};
use tcmax_encoders::{Encoder, Input, InputKind, Staged};
use tcmax_losses::{Method, Setup};
use tcmax_ops::ParamBuilder;

use crate::config::{CheckedConfig, EncoderChoice};
use crate::{Error, Result};

/// Indices of the modalities called `names`, or of all.
pub(super) fn used_modalities(names: &[String], modalities: &[Modality]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..modalities.len()).collect());
    }
    let mut used = Vec::with_capacity(names.len());
    for name in names {
        let found = modalities.iter().position(|modality| modality.name == *name);
        let index = found.ok_or_else(|| {
            let known: Vec<_> = modalities.iter().map(|m| m.name.as_str()).collect();
            let problem = format!("no modality '{name}'; the data set has {}", known.join(", "));
            Error::setting("train.modalities", problem)
        })?;
        if used.contains(&index) {
            return Err(Error::setting("train.modalities", format!("'{name}' is given twice")));
        }
        used.push(index);
    }
    Ok(used)
}

/// Refuses encoders of modalities that the data do not have.
pub(super) fn check_encoders(config: &CheckedConfig, modalities: &[Modality]) -> Result<()> {
    let names = || modalities.iter().map(|modality| modality.name.as_str());
    for (name, _) in config.config().encoder.tables() {
        if !names().any(|modality| modality == name) {
            let known = names().collect::<Vec<_>>().join(", ");
            let problem = format!("no modality '{name}'; the data set has {known}");
            return Err(Error::setting(format!("encoder.{name}"), problem));
        }
    }
    Ok(())
}

/// What an encoder is told of a modality.
pub(crate) fn input_kind(kind: ModalityKind) -> InputKind {
    match kind {
        ModalityKind::Spectrogram => InputKind::Spectrogram,
        ModalityKind::Image => InputKind::Image,
        ModalityKind::Features => InputKind::Vector,
        ModalityKind::Sequence => InputKind::Sequence,
        ModalityKind::Tokens => InputKind::Tokens,
    }
}

/// The encoder of one modality.
pub(super) fn new_encoder(
    config: &CheckedConfig,
    modality: &Modality,
    builder: &ParamBuilder,
) -> Result<(Box<dyn Encoder>, EncoderChoice)> {
    let kind = input_kind(modality.kind);
    let input = Input { kind, shape: &modality.shape };
    let choice = config.encoder(&modality.name, kind)?;
    Ok((choice.spec.build(&choice.options, input, builder)?, choice))
}

/// The configured method for the features of these encoders and so many outputs, with its own parameters.
pub(super) fn build_method(
    (config, encoders, outputs): (&CheckedConfig, &[Box<dyn Encoder>], usize),
    examples: usize,
    own: &ParamBuilder,
) -> Result<Box<dyn Method>> {
    let settings = config.config();
    let setup = Setup {
        widths: encoders.iter().map(|encoder| encoder.feature_width()).collect(),
        stages: encoders.iter().map(|encoder| stages_of(encoder.as_ref())).collect(),
        classes: outputs,
        examples,
        batch_size: settings.train.batch_size,
        epochs: settings.train.epochs,
        head: config.head(),
        device: own.device().clone(),
        own: own.clone(),
    };
    Ok(config.method().build(&settings.method.options, &setup)?)
}

/// Channels after each stage of an encoder; none where it has no stages.
fn stages_of(encoder: &dyn Encoder) -> Vec<usize> {
    encoder.staged().map(Staged::channels).unwrap_or_default()
}
