//! One encoder a modality and a fusion head over them.

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Batch, Modality, ModalityKind};
use tcmax_encoders::{Encoder, Mlp, MlpConfig, ResNet, ResNetConfig, Stem};
use tcmax_fusion::FusionHead;
use tcmax_losses::{Method, Owners, Setup};
use tcmax_ops::{ParamBuilder, Params, Seed};

use crate::config::{CheckedConfig, EncoderConfig, TrainConfig};
use crate::{Error, Result};

/// Images up to this many pixels a side keep their resolution in the stem.
const SMALL_IMAGE: usize = 64;

/// A multimodal classifier.
pub struct Model {
    encoders: Vec<Box<dyn Encoder>>,
    head: Box<dyn FusionHead>,
    params: Params,
    owners: Owners,
    device: Device,
    used: Vec<usize>,
    classes: usize,
}

impl Model {
    /// A model for the modalities of a data set, with parameters drawn from `seed`.
    ///
    /// Parameters of modality `audio` are called `audio_net.*`, those of the head `fusion_module.*`.
    ///
    /// # Errors
    /// When the settings name a modality the data set does not have, or one that no encoder takes.
    pub fn new(
        config: &CheckedConfig,
        modalities: &[Modality],
        classes: usize,
        seed: Seed,
        device: &Device,
    ) -> Result<Self> {
        let used = used_modalities(&config.config().modalities, modalities)?;
        let builder = ParamBuilder::new(seed.stream("init"), DType::F32, device);
        config.method().check(config.head(), used.len())?;
        let mut encoders: Vec<Box<dyn Encoder>> = Vec::with_capacity(used.len());
        let mut names = Vec::with_capacity(used.len());
        for modality in used.iter().map(|&m| &modalities[m]) {
            let name = format!("{}_net", modality.name);
            encoders.push(new_encoder(config.config(), modality, &builder.pp(&name))?);
            names.push(name);
        }
        let widths: Vec<usize> = encoders.iter().map(|e| e.feature_width()).collect();
        let options = config.config().head_options;
        let head = config.head().build(&widths, classes, options, &builder.pp("fusion_module"))?;
        let params = builder.params();
        let owners = Owners::by_prefix(&params, &names);
        let device = device.clone();
        Ok(Self { encoders, head, params, owners, device, used, classes })
    }

    /// Features (B, D_m) of the used modalities, from a batch with *all* modalities. Examples that lack a
    /// modality have features of zero there, and no gradient reaches its encoder from them.
    ///
    /// # Errors
    /// When the inputs do not have the shapes the model was made for.
    pub fn features(&self, batch: &Batch, train: bool) -> Result<Vec<Tensor>> {
        let mut features = Vec::with_capacity(self.used.len());
        for (encoder, &m) in self.encoders.iter().zip(&self.used) {
            let input = batch.inputs.get(m).ok_or_else(|| {
                Error::setting("inputs", format!("modality {m} is missing from the batch"))
            })?;
            let encoded = encoder.encode(input, train)?;
            features.push(match &batch.present {
                Some(present) => encoded.broadcast_mul(&present.narrow(1, m, 1)?)?,
                None => encoded,
            });
        }
        Ok(features)
    }

    /// The classifier on the features.
    pub fn head(&self) -> &dyn FusionHead {
        self.head.as_ref()
    }

    /// The method of a run, made for this model and `examples` training examples.
    ///
    /// # Errors
    /// When the method is not defined for the model, or one of its options is out of range.
    pub fn method(&self, config: &CheckedConfig, examples: usize) -> Result<Box<dyn Method>> {
        let setup = Setup {
            widths: self.encoders.iter().map(|encoder| encoder.feature_width()).collect(),
            classes: self.classes,
            examples,
            epochs: config.config().epochs,
            head: config.head(),
            device: self.device.clone(),
        };
        Ok(config.method().build(&config.config().method_options, &setup)?)
    }

    /// Whose parameters are whose.
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Parameters and buffers by name.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Names of the used modalities, among those of the data set.
    pub fn used_names(&self, modalities: &[Modality]) -> Vec<String> {
        self.used.iter().map(|&m| modalities[m].name.clone()).collect()
    }

    /// Indices of the used modalities among the data set's.
    pub fn used_modalities(&self) -> &[usize] {
        &self.used
    }
}

/// Indices of the modalities called `names`, or of all.
fn used_modalities(names: &[String], modalities: &[Modality]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..modalities.len()).collect());
    }
    let mut used = Vec::with_capacity(names.len());
    for name in names {
        let found = modalities.iter().position(|modality| modality.name == *name);
        let index = found.ok_or_else(|| {
            let known: Vec<_> = modalities.iter().map(|m| m.name.as_str()).collect();
            let problem = format!("no modality '{name}'; the data set has {}", known.join(", "));
            Error::setting("--modalities", problem)
        })?;
        if used.contains(&index) {
            return Err(Error::setting("--modalities", format!("'{name}' is given twice")));
        }
        used.push(index);
    }
    Ok(used)
}

/// The encoder of one modality: a perceptron for vectors, a ResNet for everything else.
fn new_encoder(
    config: &TrainConfig,
    modality: &Modality,
    builder: &ParamBuilder,
) -> Result<Box<dyn Encoder>> {
    if modality.kind == ModalityKind::Features {
        let layout = MlpConfig { inputs: modality.len(), widths: config.mlp_widths.clone() };
        return Ok(Box::new(Mlp::new(&layout, builder)?));
    }
    let layout = resnet_config(config.encoder, modality)?;
    Ok(Box::new(ResNet::new(&layout, builder)?))
}

fn resnet_config(encoder: EncoderConfig, modality: &Modality) -> Result<ResNetConfig> {
    let stem = match (modality.kind, &modality.shape[..]) {
        (ModalityKind::Spectrogram, [_, _, _]) => Stem::Conv7x7,
        (ModalityKind::Image, [_, .., height, width]) if height.max(width) <= &SMALL_IMAGE => {
            Stem::Conv3x3
        }
        (ModalityKind::Image, [_, .., _, _]) => Stem::Conv7x7,
        (kind, shape) => {
            let problem = format!("'{}' is {kind:?} of shape {shape:?}; ", modality.name);
            return Err(Error::setting(
                "--modalities",
                problem + "a ResNet takes images and spectrograms of [channels, height, width]",
            ));
        }
    };
    let channels = modality.shape[0];
    Ok(match encoder {
        EncoderConfig::ResnetSlim { width } => ResNetConfig::slim(channels, stem, width),
        EncoderConfig::Resnet18 => ResNetConfig::resnet18(channels, stem),
    })
}
