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
//! Three ways to the same loss: additive heads sum over all B^M tuples at O(M B C); any other head
//! visits them in chunks of bounded memory; and [`sampled`] replaces the sum by a mean over K tuples.
//!
//! Source: "Multimodal Classification via Total Correlation Maximization" (ICLR 2026). The paper's
//! reference code adds the constant M log B + log C - log B; gradients are the same.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tcmax_estimators::bounds::donsker_varadhan;
use tcmax_estimators::{BatchBound, Critic, Labels, TupleBound, Tuples};
use tcmax_fusion::FusionHead;
use tcmax_ops::sum_of;

use crate::{Error, Method, Result, Step, StepOutput};

/// Options of TCMax; none changes what is maximised but `samples`, which estimates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcmaxOptions {
    /// Random tuples per batch, drawn independently, instead of all of them; absent: all, exactly. Few
    /// tuples make the bound too high (see [`sampled`]).
    pub samples: Option<usize>,
    /// Tuples in memory at a time, for heads that are not additive.
    pub chunk: usize,
}

impl Default for TcmaxOptions {
    fn default() -> Self {
        Self { samples: None, chunk: 2048 }
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
        for (field, value) in
            [("tcmax.samples", options.samples), ("tcmax.chunk", Some(options.chunk))]
        {
            if value == Some(0) {
                return Err(Error::option(field, "must be at least 1"));
            }
        }
        Ok(Self { options })
    }
}

impl Method for Tcmax {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (head, features, labels) = (step.head, step.features, step.labels);
        let bound = match self.options.samples {
            Some(count) => {
                let seed = step.seed.stream("tuples");
                let tuples = Tuples::random(count, labels.len(), features.len(), seed)?;
                Bound::of_tuples(head, features, labels, &tuples)?
            }
            None => Bound::of_all(head, features, labels, self.options.chunk)?,
        };
        let loss = step.descend(&bound.value.neg()?)?;
        let total_correlation = Some(bound.total_correlation);
        Ok(StepOutput { total_correlation, ..StepOutput::new(loss, &bound.logits) })
    }

    /// The critic's scores: of these, softmax is p(y | z).
    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        Ok(head.scores(features)?)
    }
}

/// A bound and the joint scores it was computed from.
struct Bound {
    value: Tensor,
    total_correlation: f64,
    logits: Tensor,
}

impl Bound {
    fn of_all(
        head: &dyn FusionHead,
        features: &[Tensor],
        labels: &Labels,
        chunk: usize,
    ) -> Result<Self> {
        if let Some(terms) = head.additive_terms(features)? {
            let bound = BatchBound::new(&terms, labels)?;
            let detached: Vec<Tensor> = terms.iter().map(Tensor::detach).collect();
            return Ok(Self {
                total_correlation: bound.total_correlation()?,
                value: bound.value().clone(),
                logits: sum_of(&detached)?,
            });
        }
        let bound = TupleBound::new(head, features, &head.parameters(), labels, chunk)?;
        Ok(Self {
            total_correlation: bound.total_correlation()?,
            value: bound.value().clone(),
            logits: joint_scores(head, features)?,
        })
    }

    fn of_tuples(
        head: &dyn FusionHead,
        features: &[Tensor],
        labels: &Labels,
        tuples: &Tuples,
    ) -> Result<Self> {
        let value = sampled(head, features, labels, tuples)?;
        let uniform = (labels.classes() as f64).ln();
        Ok(Self {
            total_correlation: crate::finite(&value)? - uniform + labels.entropy(),
            value,
            logits: joint_scores(head, features)?,
        })
    }
}

fn joint_scores(head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
    let detached: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
    Ok(head.scores(&detached)?.detach())
}

/// The bound of an additive head whose negative is the TCMax loss, for features z_m of shape
/// (B, D_m).
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
/// let bound = tcmax_losses::tcmax(&head, &[z.clone(), z], &labels)?;
/// // Three copies of one fair bit share 2 log 2 nats.
/// assert!((bound.value().to_scalar::<f64>()? - 2.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shapes do not fit, or the head is not additive (see [`TupleBound`] for those).
pub fn tcmax(head: &dyn Critic, features: &[Tensor], labels: &Labels) -> Result<BatchBound> {
    let terms = head.additive_terms(features)?;
    let terms = terms.ok_or(tcmax_estimators::Error::NotAdditive)?;
    Ok(BatchBound::new(&terms, labels)?)
}

/// The bound with the product of marginals replaced by K tuples: a scalar, nats.
///
/// Of [`Tuples::random`], rows drawn independently, the mean of exp f is that over all B^M tuples on
/// average, whatever K. Its logarithm is too small on average (Jensen), so the bound is too high, by about
/// V / 2K with V the variance of exp f over all tuples, relative to its squared mean, and the gradient is
/// biased by as much. Both vanish as K grows.
///
/// ```text
/// 1/B sum_i f(z^i)[y_i] - log 1/(K C) sum_{k, c} exp f(z^{tuple k})[c]
/// ```
///
/// # Errors
/// When the shapes do not fit.
pub fn sampled(
    head: &dyn Critic,
    features: &[Tensor],
    labels: &Labels,
    tuples: &Tuples,
) -> Result<Tensor> {
    let joint = labels.pick(&head.scores(features)?)?;
    let product = head.tuple_scores(features, tuples)?.flatten_all()?;
    Ok(donsker_varadhan(&joint, &product)?)
}
