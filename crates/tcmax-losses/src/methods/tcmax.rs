//! Total correlation maximisation: the classifier is the critic.
//!
//! ```text
//! L = -1/B sum_i f(z^i)[y_i] + logsumexp over all (j_1..j_M, c) of f(z_1^{j_1}, .., z_M^{j_M})[c]
//!     - M log B - log C
//! ```
//!
//! is the negative Donsker-Varadhan bound on the total correlation of all features and the label,
//! with the head's own scores as the critic and a uniform reference for the label.
//! It has no hyper-parameter, and softmax(f) remains p(y | z), so prediction does not change.
//!
//! Several labels are as many binary variables, see [`tcmax_labels`](super::tcmax_labels); numbers have no outcomes
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
use tcmax_estimators::{Bound, Critic, Labels, Reference, Sharing, Tuples};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_registry::{OptionSet, Options, Task, read, require};

use crate::{
    Heads, LabelBounds, Method, MethodSpec, Result, Step, StepOutput, Target, Targets, Tasks, Way,
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
    options: Options::of::<TcmaxOptions>(),
    make: |options, _| Ok(Box::new(Tcmax::new(read(options)?)?)),
};

/// Options of TCMax; none changes what is maximised but `samples`, which estimates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcmaxOptions {
    /// Random tuples per batch, drawn independently, instead of all of them; absent: all, exactly. Few
    /// tuples make the bound too high (see [`tcmax_estimators::bound`]).
    pub samples: Option<usize>,
    /// Tuples in memory at a time, for heads that are not additive.
    pub chunk: usize,
}

impl Default for TcmaxOptions {
    fn default() -> Self {
        Self { samples: None, chunk: 2048 }
    }
}

impl OptionSet for TcmaxOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.samples != Some(0), "samples", "must be at least 1")?;
        require(self.chunk > 0, "chunk", "must be at least 1")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Tcmax {
    options: TcmaxOptions,
}

impl Tcmax {
    /// The method.
    ///
    /// # Errors
    /// When an option is 0.
    pub fn new(options: TcmaxOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
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
}

impl Method for Tcmax {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (head, features, labels) = (step.head, step.features, step.labels);
        let (reference, sharing) = (self.reference(step)?, step.spread.sharing());
        let bound = Bound::shared(head, features, labels, reference, sharing)?;
        let loss = step.descend(&bound.value()?.neg()?)?;
        let total_correlation = Some(match sharing {
            Sharing::Alone => bound.total_correlation()?,
            // The loss is that of all members.
            Sharing::Rows { .. } | Sharing::Tuples { .. } => bound.total_correlation_of(-loss),
        });
        Ok(StepOutput { total_correlation, ..StepOutput::new(loss, &bound.scores()) })
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        let (head, features, labels) = (step.head, step.features, step.labels);
        let (reference, spread) = (self.reference(step)?, step.spread);
        let bounds = LabelBounds::shared(head, features, labels, reference, spread)?;
        let loss = step.descend(&bounds.value()?.neg()?)?;
        let total_correlation = Some(bounds.total_correlation_of(-loss));
        Ok(StepOutput { total_correlation, ..StepOutput::new(loss, &bounds.scores()) })
    }

    fn way(&self, head: &dyn FusionHead, task: Task) -> Way {
        match (head.is_additive() && self.options.samples.is_none(), task) {
            (true, _) => Way::Rows,
            (false, Task::Classes) => Way::Tuples,
            (false, _) => Way::Gathered,
        }
    }

    /// The critic's scores: of these, softmax is p(y | z).
    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        Ok(head.scores(features)?)
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
