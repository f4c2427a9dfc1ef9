//! One encoder per modality and a fusion head over them.
//!
//! An encoder sees only the examples that have its modality, so that what stands where there is none
//! enters no batch statistics; the features of the others are zeros, without gradient. A batch in which
//! a single example has a modality is normalised by the running statistics, as in evaluation.
//!
//! Where a method joins the encoders between their stages, they run side by side (`joined`), and an example's features of
//! one modality depend on all that it has.

mod channels;
mod features;
mod joined;
mod outputs;
mod parts;
mod passing;

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Dataset, Modality, ModalityKind, memory_bytes};
use tcmax_encoders::Encoder;
use tcmax_fusion::{FusionHead, StageFusion};
use tcmax_losses::{METHOD_PREFIX, Method, ParameterGroups};
use tcmax_ops::Error::OverLimit;
use tcmax_ops::{Members, ParamBuilder, Params, Seed};
use tcmax_registry::Task;

use crate::config::{CheckedConfig, EncoderChoice, EncoderTraining, Precision};
use crate::standardise::{Standardise, TargetScale};
use crate::{Error, Result};
use channels::ChannelScale;
use joined::check_staged;
use parts::{build_method, check_encoders, new_encoder, used_modalities};

pub use joined::check_stages;
pub use outputs::Outputs;
pub(crate) use parts::input_kind;

/// What a parameter takes in training, in bytes: value, gradient, momentum, the kept value, and the
/// copies from which checkpoints are written.
const BYTES_PER_NUMBER: u64 = 32;

/// Memory assumed where the system does not say.
const UNKNOWN_MEMORY: u64 = 1 << 40;

/// A multimodal classifier, or a model of labels or numbers.
pub struct Model {
    encoders: Vec<Box<dyn Encoder>>,
    /// What standardises each modality's inputs, where they are feature vectors.
    inputs: Vec<Option<Standardise>>,
    /// Factors and summands of the channels of images, where there are any.
    channels: Vec<Option<ChannelScale>>,
    /// Which encoder each one is, how it is trained, and the prefix of its parameters.
    choices: Vec<(String, EncoderChoice)>,
    /// Which encoders stay as they are.
    frozen: Vec<bool>,
    /// What encoders multiply.
    precision: Precision,
    /// Of which modalities batches hold features already.
    encoded: Vec<bool>,
    /// What joins the encoders between their stages, where the method does.
    fusion: Option<Box<dyn StageFusion>>,
    head: Box<dyn FusionHead>,
    params: Params,
    /// Hands the method its own parameters.
    own: ParamBuilder,
    groups: ParameterGroups,
    device: Device,
    members: Members,
    used: Vec<usize>,
    outputs: Outputs,
    /// What standardises the numbers to predict, where they are.
    target: Option<TargetScale>,
}

impl Model {
    /// A model for the modalities of a data set, with parameters drawn from `seed`.
    ///
    /// Parameters of modality `audio` are called `audio_net.*`, those of the head `fusion_module.*`;
    /// what standardises feature vectors are the buffers `audio_net.input.mean` and
    /// `audio_net.input.scale`, and numbers to predict `target.mean` and `target.deviation`, to be set by
    /// [`Model::standardise`] or from a checkpoint.
    ///
    /// # Errors
    /// When the settings name a modality the data set does not have, or one that no encoder takes, or
    /// ask for a model that this machine cannot train.
    pub fn new(
        config: &CheckedConfig,
        modalities: &[Modality],
        outputs: impl Into<Outputs>,
        seed: Seed,
        device: &Device,
    ) -> Result<Self> {
        Self::of_members(config, modalities, outputs.into(), seed, device, Members::alone())
    }

    /// As [`Model::new`], of one of several members who train together; all have the same parameters.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn of_members(
        config: &CheckedConfig,
        modalities: &[Modality],
        outputs: Outputs,
        seed: Seed,
        device: &Device,
        members: Members,
    ) -> Result<Self> {
        let memory = memory_bytes().unwrap_or(UNKNOWN_MEMORY);
        let numbers = usize::try_from(memory / BYTES_PER_NUMBER).unwrap_or(usize::MAX);
        let builder = ParamBuilder::new(seed.stream("init"), DType::F32, device);
        let builder = builder.at_most(numbers).with_members(members);
        let model = Self::built(config, modalities, outputs, &builder);
        model.map_err(|error| match error {
            Error::Encoder(tcmax_encoders::Error::Ops(error @ OverLimit { .. }))
            | Error::Fusion(tcmax_fusion::Error::Ops(error @ OverLimit { .. })) => {
                let gib = memory as f64 / f64::from(1 << 30);
                let problem = format!(
                    "{error}, and training takes {BYTES_PER_NUMBER} bytes for each, more than the \
                     {gib:.1} GiB of memory"
                );
                Error::setting("encoder, head", problem)
            }
            other => other,
        })
    }

    /// As [`Model::new`], of at most so many numbers, which is found out before they are allocated.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn at_most(
        numbers: usize,
        config: &CheckedConfig,
        modalities: &[Modality],
        outputs: Outputs,
        seed: Seed,
        device: &Device,
    ) -> Result<Self> {
        let builder = ParamBuilder::new(seed.stream("init"), DType::F32, device).at_most(numbers);
        Self::built(config, modalities, outputs, &builder)
    }

    fn built(
        config: &CheckedConfig,
        modalities: &[Modality],
        outputs: Outputs,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let device = builder.device();
        config.method().check_task(outputs.task)?;
        let used = used_modalities(&config.config().train.modalities, modalities)?;
        check_encoders(config, modalities)?;
        config.method().check(config.head(), used.len())?;
        let mut encoders: Vec<Box<dyn Encoder>> = Vec::with_capacity(used.len());
        let mut inputs = Vec::with_capacity(used.len());
        let mut names = Vec::with_capacity(used.len());
        let mut choices: Vec<(String, EncoderChoice)> = Vec::with_capacity(used.len());
        let mut channels = Vec::with_capacity(used.len());
        for modality in used.iter().map(|&m| &modalities[m]) {
            let name = format!("{}_net", modality.name);
            let (encoder, choice) = new_encoder(config, modality, &builder.pp(&name))?;
            check_staged(config.method(), &modality.name, encoder.as_ref(), &choice)?;
            encoders.push(encoder);
            channels.push(ChannelScale::new(&choice.training, modality, device)?);
            choices.push((name.clone(), choice));
            let vectors = modality.kind == ModalityKind::Features;
            let standardise = (vectors && config.config().train.standardise)
                .then(|| Standardise::new(&builder.pp(&name).pp("input"), modality.len()));
            inputs.push(standardise.transpose()?);
            names.push(name);
        }
        let widths: Vec<usize> = encoders.iter().map(|e| e.feature_width()).collect();
        let of_run = (config, &encoders[..], outputs.count);
        let own = builder.pp(METHOD_PREFIX).again();
        // Made now for the sake of its parameters, which it gets again when it is made for a run.
        let method = build_method(of_run, 0, &own)?;
        let fusion = method.stage_fusion();
        if let Some(m) = encoders.iter().position(|encoder| encoder.staged().is_none())
            && fusion.is_some()
        {
            let what = format!("the encoder of '{}'", modalities[used[m]].name);
            return Err(
                tcmax_losses::Error::NeedsStages { method: config.method().name, what }.into()
            );
        }
        let (options, head) = (&config.config().head.options, config.head());
        let of_head = builder.pp("fusion_module");
        let head = match (method.own_head(), outputs.task) {
            (Some(own), _) => own,
            (None, Task::Classes) => head.build(options, &widths, outputs.count, &of_head)?,
            (None, _) => head.build_outputs(options, &widths, outputs.count, &of_head)?,
        };
        let scaled = outputs.task == Task::Regression && config.config().train.standardise;
        let target = scaled.then(|| TargetScale::new(&builder.pp("target"), outputs.count));
        let target = target.transpose()?;
        let device = device.clone();
        let params = builder.params();
        let groups = ParameterGroups::by_prefix(&params, &names);
        let members = builder.members().clone();
        let (frozen, encoded) = (vec![false; used.len()], vec![false; used.len()]);
        Ok(Self {
            encoders,
            inputs,
            channels,
            choices,
            frozen,
            precision: config.config().train.precision,
            encoded,
            fusion,
            head,
            params,
            own,
            groups,
            device,
            members,
            used,
            outputs,
            target,
        })
    }

    /// Takes from the training split what standardises feature vectors, and numbers to predict.
    ///
    /// # Errors
    /// When the data cannot be read, or a value is not finite.
    pub fn standardise(&self, train: &dyn Dataset) -> Result<()> {
        for (standardise, &m) in self.inputs.iter().zip(&self.used) {
            if let Some(standardise) = standardise {
                standardise.fit(train, m)?;
            }
        }
        self.target.as_ref().map_or(Ok(()), |target| target.fit(train))
    }

    /// Numbers to predict (B, K) as the model is trained on them: standardised, where the settings say so.
    pub(crate) fn standardised(&self, numbers: &Tensor) -> Result<Tensor> {
        self.target.as_ref().map_or_else(|| Ok(numbers.clone()), |target| target.apply(numbers))
    }

    /// Outputs (B, C) in the units of what is to be predicted; logits stay as they are.
    pub(crate) fn in_units(&self, outputs: &Tensor) -> Result<Tensor> {
        self.target.as_ref().map_or_else(|| Ok(outputs.clone()), |target| target.undo(outputs))
    }

    /// Whether numbers to predict are standardised.
    pub(crate) fn is_target_standardised(&self) -> bool {
        self.target.is_some()
    }

    /// How each encoder is trained, with the prefix of its parameters.
    pub fn encoder_training(&self) -> impl Iterator<Item = (&str, &EncoderTraining)> {
        self.choices.iter().map(|(prefix, choice)| (prefix.as_str(), &choice.training))
    }

    /// Leaves the encoder whose parameters have this prefix as it is: no gradients, and running statistics
    /// in place of the batch's, as in evaluation; or lets it learn again.
    pub fn set_frozen(&mut self, prefix: &str, frozen: bool) {
        for ((own, _), flag) in self.choices.iter().zip(&mut self.frozen) {
            if own == prefix {
                *flag = frozen;
            }
        }
    }

    /// Batches hold the features that they hold for another model of the same form.
    pub(crate) fn take_encoded_from(&mut self, other: &Self) {
        self.encoded.clone_from(&other.encoded);
    }

    /// From now on, batches hold the features of the used modality `position`.
    pub(crate) fn set_encoded(&mut self, position: usize) {
        self.encoded[position] = true;
    }

    /// The encoders that were chosen, with the prefix of their parameters.
    pub(crate) fn choices(&self) -> &[(String, EncoderChoice)] {
        &self.choices
    }

    /// The encoder of the used modality `position`.
    pub(crate) fn encoder(&self, position: usize) -> &dyn Encoder {
        self.encoders[position].as_ref()
    }

    /// What encoders multiply.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether the inputs of the used modality `position` are standardised.
    pub(crate) fn is_standardised(&self, position: usize) -> bool {
        self.inputs[position].is_some()
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
        build_method((config, &self.encoders, self.outputs.count), examples, &self.own)
    }

    /// Whose parameters are whose.
    pub fn groups(&self) -> &ParameterGroups {
        &self.groups
    }

    /// Parameters and buffers by name.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The members who train it together.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// The widths of the used modalities' features.
    pub(crate) fn widths(&self) -> Vec<usize> {
        self.encoders.iter().map(|encoder| encoder.feature_width()).collect()
    }

    /// The number of classes, labels or numbers to predict.
    pub fn outputs(&self) -> usize {
        self.outputs.count
    }

    /// What it predicts, and how many.
    pub(crate) fn all_outputs(&self) -> Outputs {
        self.outputs
    }

    /// What it predicts.
    pub fn task(&self) -> Task {
        self.outputs.task
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
