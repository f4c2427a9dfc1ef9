//! What a method sees of one training step, and what it leaves behind.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use tcmax_estimators::Labels;
use tcmax_fusion::FusionHead;
use tcmax_ops::{Branches, Params, Seed};

use crate::{Error, Reported, Result, Spread};

/// The current epoch and batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The epoch, from 0.
    pub epoch: usize,
    /// All epochs of the run.
    pub epochs: usize,
    /// The batch in the epoch, from 0.
    pub batch: usize,
    /// Batches in an epoch.
    pub batches: usize,
}

/// The trainable parameters of a model by what they belong to.
#[derive(Clone, Debug, Default)]
pub struct ParameterGroups {
    /// Those of each modality's encoder, in the order of the modalities.
    pub encoders: Vec<Vec<Var>>,
    /// Those of the head.
    pub head: Vec<Var>,
    /// Those of the method itself.
    pub own: Vec<Var>,
}

/// What the names of a method's own parameters begin with.
pub const METHOD_PREFIX: &str = "method";

impl ParameterGroups {
    /// Sorts the parameters of a model: those of modality m have names that begin with
    /// `prefixes[m]` and a dot, those of the method with [`METHOD_PREFIX`] and a dot; all others are the head's.
    pub fn by_prefix(params: &Params, prefixes: &[String]) -> Self {
        let mut groups = Self { encoders: vec![Vec::new(); prefixes.len()], ..Self::default() };
        for (name, var) in params.trainable() {
            let is_of =
                |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
            match prefixes.iter().position(|prefix| is_of(prefix)) {
                Some(m) => groups.encoders[m].push(var.clone()),
                None if is_of(METHOD_PREFIX) => groups.own.push(var.clone()),
                None => groups.head.push(var.clone()),
            }
        }
        groups
    }
}

/// What the [teacher](crate::EpochContext::teach) says of a batch, in evaluation mode and without gradients.
#[derive(Clone, Debug)]
pub struct Taught {
    /// Its features z_m (B, D_m).
    pub features: Vec<Tensor>,
    /// Its logits (B, C) of each modality alone.
    pub modality_logits: Vec<Tensor>,
}

/// Applies gradients to the parameters: the optimiser's step, after clipping.
pub type Update<'a> = dyn FnMut(&mut GradStore) -> std::result::Result<(), tcmax_ops::Error> + 'a;

/// One training step, as a method sees it. What is to be predicted are class labels, or other
/// [`Targets`](crate::Targets).
pub struct Step<'a, Y = Labels> {
    /// The classifier.
    pub head: &'a dyn FusionHead,
    /// Features z_m (B, D_m), with the encoders behind them, in their graph or as `branches`.
    pub features: &'a [Tensor],
    /// Encoders that are graphs of their own, of which [`Step::gradients`] takes care; none by default.
    pub branches: &'a Branches,
    /// What the batch is to be predicted as.
    pub labels: &'a Y,
    /// Which training examples these are, for methods that remember them.
    pub rows: &'a [usize],
    /// The only modality that counts of each example, by the [plan](crate::EpochPlan) of the epoch, whose other
    /// features are zeros; empty where there is no plan.
    pub only: &'a [Option<usize>],
    /// What the teacher says of the batch, where there is one.
    pub taught: Option<&'a Taught>,
    /// Which parameters belong to which encoder, and to the head.
    pub groups: &'a ParameterGroups,
    /// The current epoch and batch.
    pub clock: Clock,
    /// The start of everything random in this step.
    pub seed: Seed,
    /// How the batch is spread over members, of whom this process is one; otherwise
    /// [`alone`](Spread::alone).
    pub spread: Spread<'a, Y>,
    /// The optimiser.
    pub update: &'a mut Update<'a>,
}

/// What a step reports.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// The loss, nats.
    pub loss: Reported,
    /// Logits (B, C) that training used, without their graph.
    pub logits: Tensor,
    /// The bound on the total correlation, where the method computes it, nats.
    pub total_correlation: Option<Reported>,
    /// Metrics of the method, by name, such as the coefficient of a modality.
    pub metrics: Vec<(String, f64)>,
}

impl StepOutput {
    /// A loss and logits, and nothing else.
    pub fn new(loss: impl Into<Reported>, logits: &Tensor) -> Self {
        let loss = loss.into();
        Self { loss, logits: logits.detach(), total_correlation: None, metrics: Vec::new() }
    }

    /// With one metric per modality.
    #[must_use]
    pub fn with_metrics(mut self, name: &str, values: &[f64]) -> Self {
        let metrics = values.iter().enumerate().map(|(m, &value)| (format!("{name} {m}"), value));
        self.metrics.extend(metrics);
        self
    }
}

impl<Y> Step<'_, Y> {
    /// Backpropagates a loss and updates the parameters; returns its value, that of the whole batch.
    ///
    /// # Errors
    /// When the loss is not finite; nothing is updated then. Where it is [read later](crate::reported), who reads it
    /// finds out.
    pub fn descend(&mut self, loss: &Tensor) -> Result<Reported> {
        let value = match self.spread.group() {
            None => Reported::of(loss)?,
            // Together, so that all members end where one of them cannot go on.
            Some(_) => self.spread.total(tcmax_ops::to_scalar_f64(loss)?)?.into(),
        };
        if let Reported::Now(value) = value {
            finite_value(value)?;
        }
        let mut gradients = self.gradients(loss)?;
        (self.update)(&mut gradients)?;
        Ok(value)
    }

    /// The gradients of the batch's loss with respect to all parameters, alike on every member. Methods that look at
    /// gradients, or change them, have them from here.
    ///
    /// Each member backpropagates into the encoders from its own rows; what they get is added over the members, in
    /// one flat vector. So are the gradients of the head and of the method's own parameters, where each computes a part of the loss.
    ///
    /// # Errors
    /// When backpropagation fails, or the members cannot exchange.
    pub fn gradients(&self, loss: &Tensor) -> Result<GradStore> {
        let mut gradients = tcmax_ops::backward(loss)?;
        self.branches.backward(&mut gradients)?;
        if let Some(group) = self.spread.group() {
            let others = self.groups.head.iter().chain(&self.groups.own);
            let others = others.filter(|_| self.spread.adds_losses());
            let vars: Vec<&Var> = self.groups.encoders.iter().flatten().chain(others).collect();
            crate::gradients::add_up(&mut gradients, &vars, group.as_ref())?;
        }
        Ok(gradients)
    }

    /// A mean over the rows that the step sees as its part of the mean over the batch, for methods that see their
    /// rows alone ([`Way::Rows`](crate::Way::Rows)).
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn weighed(&self, mean: Tensor) -> Result<Tensor> {
        match self.spread.weight() {
            Some(weight) => Ok((mean * weight)?),
            None => Ok(mean),
        }
    }

    /// The number of modalities.
    pub fn modalities(&self) -> usize {
        self.features.len()
    }
}

/// The value of a scalar loss.
///
/// # Errors
/// When it is NaN or infinite.
pub fn finite(loss: &Tensor) -> Result<f64> {
    finite_value(tcmax_ops::to_scalar_f64(loss)?)
}

/// The value, if it is neither NaN nor infinite.
pub(crate) fn finite_value(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { value }) }
}
