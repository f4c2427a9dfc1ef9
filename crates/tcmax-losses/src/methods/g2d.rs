//! Gradient-guided distillation (G2D): a student of late fusion learns from teachers of one modality each, and the encoder
//! whose teacher is ahead waits.
//!
//! ```text
//! f = 1/M sum_m f_m
//! L = CE(f, y) + sum_m T^2 KL(softmax(f_m^T / T) || softmax(f / T)) + sum_m mean((z_m - z_m^T)^2)      (nats)
//! ```
//!
//! f_m are the modalities' own logits, f_m^T and z_m^T the logits and features of modality m's teacher, which are
//! constants; KL is a mean over the batch, and the last mean one over all entries. For the first half of the student's
//! epochs the gradients of one encoder's convolutions are set to 0: the one whose teacher has the largest sum of
//! probabilities of the label over the batch. Encoders without convolutions wait with their matrices. Where several
//! teachers are equal at the top none waits (the released code ends with an error).
//!
//! Teachers are trained in the first `teacher-epochs` of the run by the sum of the modalities' own cross-entropies; the
//! student then starts from the initial values. Any number of modalities; for more than two only the one that is ahead of
//! all waits. Predictions are the softmax of f.
//!
//! Source: Rakib, Bagavathi, "G2D: Boosting Multimodal Learning with Gradient-Guided Distillation" (ICCV 2025), and its
//! released code, of which the defaults are.

use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SUM};
use tcmax_ops::{State, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::divergence::{kl, log_softmax};
use super::teachers::{self, Lesson, Teachers, feature_distances};
use crate::gradients::scale;
use crate::likelihood::label_probability_sums;
use crate::{
    EpochContext, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of G2D.
pub static G2D: MethodSpec = MethodSpec {
    name: "g2d",
    description: "learns from teachers of one modality each; the encoder of the best one waits",
    source: "Rakib and Bagavathi, ICCV 2025",
    modalities: Modalities::Several,
    usual_head: &SUM,
    heads: Heads::Additive,
    tasks: Tasks::Classes("its teachers learn the one right class"),
    needs_stages: false,
    options: Options::of::<G2dOptions>(),
    make: |options, setup| Ok(Box::new(G2d::new(read(options)?, setup)?)),
};

/// Options of G2D.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct G2dOptions {
    /// Temperature T of the distillation.
    pub temperature: f64,
    /// Epochs that train the teachers, before the student's; absent: a third of all.
    pub teacher_epochs: Option<usize>,
    /// Epochs of the student in which an encoder waits; absent: half of them.
    pub waiting_epochs: Option<usize>,
}

impl Default for G2dOptions {
    fn default() -> Self {
        Self { temperature: 1.0, teacher_epochs: None, waiting_epochs: None }
    }
}

impl OptionSet for G2dOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.temperature.is_finite() && self.temperature > 0.0;
        require(fits, "temperature", "must be a positive number")?;
        teachers::check(self.teacher_epochs)
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct G2d {
    options: G2dOptions,
    teachers: Teachers,
    /// The first epoch in which no encoder waits.
    waiting_ends: usize,
}

impl G2d {
    /// G2D for a run.
    ///
    /// # Errors
    /// When an option is out of range, or no epoch is left for the student.
    pub fn new(options: G2dOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let teachers = Teachers::new(G2D.name, options.teacher_epochs, setup.epochs)?;
        let waiting =
            options.waiting_epochs.unwrap_or((setup.epochs - teachers.epochs()).div_ceil(2));
        let waiting_ends = teachers.epochs().saturating_add(waiting);
        Ok(Self { options, teachers, waiting_ends })
    }
}

impl Method for G2d {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.teachers.begin_epoch(context)
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let taught = match self.teachers.step(step)? {
            Lesson::Teachers(output) => return Ok(output),
            Lesson::Student(taught) => taught,
        };
        let logits = mean_logits(step.head, step.features)?;
        let ce = cross_entropy(&logits, step.labels)?;
        let temperature = self.options.temperature;
        let of = |teacher| distillation(&logits, teacher, temperature);
        let divergences = taught.modality_logits.iter().map(of).collect::<Result<Vec<_>>>()?;
        let distances = feature_distances(step.features, &taught.features)?;
        let parts = [&[ce.clone()][..], &divergences, &distances].concat();
        let loss = sum_of(&parts)?;
        let value = crate::finite(&loss)?;
        let mut gradients = step.gradients(&loss)?;
        let scores = label_probability_sums(&taught.modality_logits, step.labels)?;
        let waits = leading(&scores).filter(|_| step.clock.epoch < self.waiting_ends);
        if let Some(vars) = waits.and_then(|m| step.groups.encoders.get(m)) {
            scale(&mut gradients, &filters_or_matrices(vars), 0.0)?;
        }
        (step.update)(&mut gradients)?;
        let values = |tensors: &[Tensor]| {
            tensors.iter().map(to_scalar_f64).collect::<candle_core::Result<Vec<_>>>()
        };
        let waiting: Vec<f64> =
            (0..scores.len()).map(|m| f64::from(u8::from(waits == Some(m)))).collect();
        let mut output = StepOutput::new(value, &logits)
            .with_metrics("divergence", &values(&divergences)?)
            .with_metrics("distance", &values(&distances)?)
            .with_metrics("teacher's score", &scores)
            .with_metrics("waits", &waiting);
        output.metrics.push(("cross-entropy".to_owned(), to_scalar_f64(&ce)?));
        Ok(output)
    }

    fn is_usable_after(&self, epoch: usize) -> bool {
        self.teachers.is_usable_after(epoch)
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        mean_logits(head, features)
    }

    fn state(&self) -> Result<State> {
        Ok(self.teachers.state())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.teachers.load_state(state)
    }
}

/// f, the mean of the modalities' own logits, (N, C).
fn mean_logits(head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
    let own = head.modality_logits(features)?;
    Ok((sum_of(&own)? / own.len() as f64)?)
}

/// T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over the batch, of logits (N, C); the teacher's are
/// constants.
///
/// # Errors
/// When the shapes differ.
pub fn distillation(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let teacher = log_softmax(&(teacher.detach() / temperature)?)?;
    let student = log_softmax(&(student / temperature)?)?;
    Ok((kl(&teacher, &student)? * temperature.powi(2))?)
}

/// The position of the largest score; `None` where several are.
///
/// ```
/// use tcmax_losses::methods::g2d::leading;
///
/// assert_eq!(leading(&[1.5, 2.0, 0.1]), Some(1));
/// assert_eq!(leading(&[2.0, 2.0, 0.1]), None);
/// ```
pub fn leading(scores: &[f64]) -> Option<usize> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut leaders = scores.iter().enumerate().filter(|(_, score)| **score == most);
    let first = leaders.next().map(|(m, _)| m);
    first.filter(|_| leaders.next().is_none())
}

/// The filters of convolutions among an encoder's parameters, or its matrices where it has none.
fn filters_or_matrices(vars: &[Var]) -> Vec<Var> {
    let rank = if vars.iter().any(|var| var.rank() == 4) { 4 } else { 2 };
    vars.iter().filter(|var| var.rank() == rank).cloned().collect()
}
