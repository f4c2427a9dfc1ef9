//! Total correlation maximisation: the classifier is the critic.
//!
//! ```text
//! L = -1/B sum_i f(z^i)[y_i] + logsumexp over all (j_1..j_M, c) of f(z_1^{j_1}, .., z_M^{j_M})[c]
//!     - M log B - log C
//! ```
//!
//! is the negative Donsker-Varadhan bound on the total correlation of all features and the label,
//! with the head's own scores as the critic and a uniform reference for the label.
//! In this form it has no hyper-parameter, and softmax(f) remains p(y | z), so prediction does not change.
//!
//! With `weight` w below 1 the loss is a blend with cross-entropy,
//!
//! ```text
//! L = CE + w (R - log C),    R = -1/B sum_i S(z^i) + log mean over all tuples of exp S,    S = logsumexp_c f
//! ```
//!
//! which is the loss above at w = 1 and joint training at w = 0. TCMax pays twice for evidence that modalities share
//! given the label, and makes a modality that tells nothing memorise; a small weight keeps most of what it gains
//! where modalities compete. `form = "within-classes"` is another way not to pay for nuisance that modalities share,
//! for heads that are not additive: the scores of the label are averaged over all tuples of examples of one class,
//!
//! ```text
//! L_W = -sum_c p(c) mean over tuples within class c of f[c] + log mean over all tuples of sum_c exp f[c] - log C
//! ```
//!
//! with p(c) the share of class c in the batch. Of an additive head it is the loss above.
//!
//! From three modalities on gradients are clipped at norm 5 unless the settings say otherwise: the gradient of the
//! log-sum may collapse onto one example and class in all modalities in the same step.
//!
//! Several labels are as many binary variables, see [`tcmax_labels`](super::tcmax_labels) (joint training takes the
//! mean of their cross-entropies, and the blend, like TCMax, their sum); numbers have no outcomes
//! to sum over, and no loss of this kind.
//!
//! [`Bound`] chooses how: additive heads sum over all B^M tuples at O(M B C); any other head visits them
//! in chunks of bounded memory; and `samples` replaces the sum by a mean over K random tuples.
//!
//! Source: "Multimodal Classification via Total Correlation Maximization" (ICLR 2026). The paper's
//! reference code adds the constant M log B + log C - log B; gradients are the same.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::bound::WithinClasses;
use tcmax_estimators::{Bound, Critic, Labels, Reference, Sharing, Tuples};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_registry::{OptionSet, Options, Task, read, require};

use super::joint::Joint;
use crate::reported::is_later;
use crate::{
    Heads, LabelBounds, Method, MethodSpec, Reported, Result, Step, StepOutput, Target, Targets,
    Tasks, Way,
};

/// The specification of TCMax.
pub static TCMAX: MethodSpec = MethodSpec {
    name: "tcmax",
    description: "total correlation of all features and the label, maximised",
    source: "ICLR 2026",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Discrete(
        "the total correlation is bounded by a sum over the outcomes of the target, and numbers have no list of outcomes",
    ),
    needs_stages: false,
    options: Options::of::<TcmaxOptions>(),
    make: |options, setup| Ok(Box::new(Tcmax::new(read(options)?, setup.widths.len())?)),
};

/// Options of TCMax; without `weight` and `form` it has nothing to tune: `samples` estimates the same loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcmaxOptions {
    /// Share of the loss in a blend with cross-entropy: 1 is TCMax, 0 joint training; 0.1 is a good first try where
    /// nothing is known of the data. "auto": the run trains with each of 0, 0.03, 0.1, 0.3 and 1, at five times the
    /// cost, and keeps the model of the best validation accuracy.
    pub weight: Weight,
    /// What the scores of the labels are averaged over: `joint` (the examples), or `within-classes` (tuples of
    /// examples of one class), which heads that are not additive need where modalities share a nuisance.
    pub form: Form,
    /// Random tuples per batch, drawn independently, instead of all of them; absent: all, exactly. Few
    /// tuples make the bound too high (see [`tcmax_estimators::bound`]).
    pub samples: Option<usize>,
    /// Tuples in memory at a time, for heads that are not additive.
    pub chunk: usize,
}

/// The share of TCMax's loss in a blend with cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Weight {
    /// This.
    Given(f64),
    /// That of [`AUTOMATIC_WEIGHTS`] with the best validation accuracy, which is for a run to find out: a method is
    /// made with a number.
    Automatic(Automatic),
}

/// The word for a [`Weight`] that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Automatic {
    /// Chosen on the validation split.
    Auto,
}

/// The weights that are tried where one is to be found.
pub const AUTOMATIC_WEIGHTS: [f64; 5] = [0.0, 0.03, 0.1, 0.3, 1.0];

/// What the scores of the labels are averaged over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The joint examples.
    #[default]
    Joint,
    /// Tuples of examples of one class.
    WithinClasses,
}

impl Default for TcmaxOptions {
    fn default() -> Self {
        Self { weight: Weight::Given(1.0), form: Form::Joint, samples: None, chunk: 2048 }
    }
}

impl OptionSet for TcmaxOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        if let Weight::Given(weight) = self.weight {
            let fits = (0.0..=1.0).contains(&weight);
            require(fits, "weight", "must be a number from 0 to 1, or \"auto\"")?;
        }
        require(self.samples != Some(0), "samples", "must be at least 1")?;
        require(self.chunk > 0, "chunk", "must be at least 1")
    }
}

/// Tuples within classes that are scored together at most.
const MOST_WITHIN_CLASSES: usize = 1 << 15;

/// The norm at which gradients are clipped from three modalities on.
const CLIP_NORM: f64 = 5.0;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Tcmax {
    options: TcmaxOptions,
    weight: f64,
    modalities: usize,
}

impl Tcmax {
    /// The method for so many modalities. A weight that is to be found counts as 1.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: TcmaxOptions, modalities: usize) -> Result<Self> {
        options.check()?;
        let weight = match options.weight {
            Weight::Given(weight) => weight,
            Weight::Automatic(_) => 1.0,
        };
        Ok(Self { options, weight, modalities })
    }

    /// The tuples of one step.
    fn reference<Y: Target>(&self, step: &Step<'_, Y>) -> Result<Reference> {
        let reference = match self.options.samples {
            Some(count) => {
                let seed = step.seed.stream("tuples");
                let (examples, variables) = (step.labels.examples(), step.features.len());
                Reference::of(Tuples::random(count, examples, variables, seed)?)
            }
            None => Reference::all(),
        };
        Ok(reference.in_chunks_of(self.options.chunk))
    }

    fn is_within_classes(&self, head: &dyn FusionHead) -> bool {
        self.options.form == Form::WithinClasses && !head.is_additive()
    }
}

impl Method for Tcmax {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        if self.weight == 0.0 {
            return Joint.step(step);
        }
        let (head, features, labels) = (step.head, step.features, step.labels);
        let (reference, sharing) = (self.reference(step)?, step.spread.sharing());
        let bound = Bound::shared(head, features, labels, reference, sharing)?;
        let value = match self.is_within_classes(head) {
            true => {
                let seed = step.seed.stream("within");
                let which = WithinClasses { most: MOST_WITHIN_CLASSES, seed };
                bound.blended_within_classes(self.weight, which)?
            }
            false => bound.blended(self.weight)?,
        };
        let loss = step.descend(&value.neg()?)?;
        let is_bound = self.weight == 1.0 && !self.is_within_classes(head);
        let total_correlation = Some(match sharing {
            Sharing::Alone if is_later() => {
                let value = if is_bound { value } else { bound.value()? };
                Reported::of(&(value + bound.total_correlation_of(0.0))?)?
            }
            Sharing::Alone => bound.total_correlation()?.into(),
            // The loss is that of all members.
            Sharing::Rows { .. } | Sharing::Tuples { .. } if is_bound => {
                bound.total_correlation_of(-loss.value()?).into()
            }
            Sharing::Rows { .. } | Sharing::Tuples { .. } => {
                bound.total_correlation_of(step.spread.total(bound.nats()?)?).into()
            }
        });
        Ok(StepOutput { total_correlation, ..StepOutput::new(loss, &bound.scores()) })
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        if self.weight == 0.0 {
            return Joint.step_on(step);
        }
        let (head, features, labels) = (step.head, step.features, step.labels);
        if self.is_within_classes(head) {
            let problem =
                "must be joint for several labels: an example has no one class".to_owned();
            return Err(tcmax_registry::Error::OutOfRange { option: "form", problem }.into());
        }
        let (reference, spread) = (self.reference(step)?, step.spread);
        let bounds = LabelBounds::shared(head, features, labels, reference, spread)?;
        let loss = step.descend(&bounds.blended(self.weight)?.neg()?)?;
        // The loss is that of all members.
        let nats = if self.weight == 1.0 { -loss.value()? } else { bounds.nats_of_all()? };
        let total_correlation = Some(bounds.total_correlation_of(nats).into());
        Ok(StepOutput { total_correlation, ..StepOutput::new(loss, &bounds.scores()) })
    }

    fn way(&self, head: &dyn FusionHead, task: Task) -> Way {
        if self.weight == 0.0 {
            return Joint.way(head, task);
        }
        if self.is_within_classes(head) {
            return Way::Gathered;
        }
        match (head.is_additive() && self.options.samples.is_none(), task) {
            (true, _) => Way::Rows,
            (false, Task::Classes) => Way::Tuples,
            (false, _) => Way::Gathered,
        }
    }

    fn usual_clip_norm(&self) -> Option<f64> {
        (self.modalities > 2 && self.weight > 0.0).then_some(CLIP_NORM)
    }

    /// The critic's scores: of these, softmax is p(y | z).
    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        Ok(if self.weight == 0.0 { head.logits(features)? } else { head.scores(features)? })
    }
}

/// The TCMax loss of any critic, such as a fusion head, on features z_m (B, D_m): a scalar, nats, exact
/// over all B^M tuples.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Labels;
/// use tcmax_fusion::ConcatHead;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let weight = Tensor::new(&[[1f64, 1.0], [-1.0, -1.0]], &Device::Cpu)?;
/// let head = ConcatHead::from_tensors(&[1, 1], weight, Tensor::new(&[0f64, 0.0], &Device::Cpu)?)?;
/// let z = Tensor::new(&[[9f64], [-9.0]], &Device::Cpu)?;
/// let labels = Labels::new(&[0, 1], 2, &Device::Cpu)?;
/// let loss = tcmax_losses::tcmax(&head, &[z.clone(), z], &labels)?;
/// // Three copies of one fair bit share 2 log 2 nats.
/// assert!((loss.to_scalar::<f64>()? + 2.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn tcmax(head: &dyn Critic, features: &[Tensor], labels: &Labels) -> Result<Tensor> {
    Ok(Bound::new(head, features, labels, Reference::all())?.value()?.neg()?)
}
