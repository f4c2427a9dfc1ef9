//! TCMax of several labels: every label is a binary variable of its own.
//!
//! Label c has the outcomes no and yes with the scores -f(z)\[c\] / 2 and f(z)\[c\] / 2, so that
//! sigmoid(f(z)\[c\]) is p(y\[c\] = 1 | z), and a uniform reference. The loss is the sum over the labels of their
//! TCMax losses,
//!
//! ```text
//! L = sum_c [ log(exp s_c(1/2) + exp s_c(-1/2)) - 1/B sum_i (y_i[c] - 1/2) f(z^i)[c] - log 2 ]    (nats)
//! s_c(h) = log 1/B^M sum over (j_1..j_M) of exp h f(z_1^{j_1}, .., z_M^{j_M})[c]
//! ```
//!
//! The scores 0 and f would have the same sigmoid, but the sum of their exponentials is large where a label is
//! sure to be there and 1 where it is sure not to be: the bound would be far below 0 for a label that is known.
//! For additive heads the sum factorises label by label, s_c(h) = sum_m log mean_i exp h g_m(z_m^i)\[c\], at
//! O(M B C); for others every label has a [`Bound`] of its own over the tuples. -L is a lower bound on
//! sum_c KL(p(z, y\[c\]) || prod_m p(z_m) U(y\[c\])); less sum_c (log 2 - H(y\[c\])), on the sum over the
//! labels of the total correlation of all features and the label.
//!
//! A blend of weight w with the binary cross-entropies is the sum of w times these losses and 1 - w times those,
//! label by label.
//!
//! This is our definition: the paper (ICLR 2026) has exclusive classes alone. For a batch of one it is the
//! binary cross-entropy summed over the labels, as TCMax is the cross-entropy there.

use candle_core::Tensor;
use tcmax_estimators::{Bound, Critic, Labels, Reference};
use tcmax_ops::{log_sum_exp, log_sum_exp_over, to_scalar_f64};

use crate::targets::{alike, softplus};
use crate::{Error, Result, Spread, Targets};

/// The bounds of all labels on one set of examples.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Reference;
/// use tcmax_estimators::critic::TermsCritic;
/// use tcmax_losses::{LabelBounds, Targets};
///
/// # fn main() -> tcmax_losses::Result<()> {
/// // Two examples, one modality and two labels: the first is known for certain, the second ignored.
/// let terms = [Tensor::new(&[[40f64, 0.0], [-40.0, 0.0]], &Device::Cpu)?];
/// let targets = Targets::labels(Tensor::new(&[[1f64, 1.0], [0.0, 0.0]], &Device::Cpu)?)?;
/// let critic = TermsCritic::new(1, 2);
/// let bounds = LabelBounds::new(&critic, &terms, &targets, Reference::all())?;
/// // All that there is to know of a label with equally many examples: log 2.
/// assert!((bounds.nats()? - 2f64.ln()).abs() < 1e-9);
/// # Ok(())
/// # }
/// ```
pub struct LabelBounds<'a> {
    critic: &'a dyn Critic,
    reference: Reference,
    parts: Vec<Tensor>,
    scores: Tensor,
    labels: Vec<Labels>,
    /// The labels (N, C), of the type of the scores.
    has: Tensor,
    /// Whether the sum over the tuples factorises.
    factorises: bool,
    spread: Spread<'a, Targets>,
    /// The labels of all members.
    whole: Vec<Labels>,
}

impl<'a> LabelBounds<'a> {
    /// The bounds of `critic` on variables x_m (N, D_m) and their labels, over the tuples of `reference`.
    ///
    /// # Errors
    /// When the variables do not fit the critic, or the labels the scores.
    pub fn new(
        critic: &'a dyn Critic,
        x: &[Tensor],
        targets: &Targets,
        reference: Reference,
    ) -> Result<Self> {
        Self::shared(critic, x, targets, reference, Spread::alone())
    }

    /// As [`LabelBounds::new`], of which this member computes its part ([`Way::Rows`](crate::Way::Rows)) or all.
    ///
    /// # Errors
    /// As there, and when the members cannot exchange.
    pub(crate) fn shared(
        critic: &'a dyn Critic,
        x: &[Tensor],
        targets: &Targets,
        reference: Reference,
        spread: Spread<'a, Targets>,
    ) -> Result<Self> {
        let parts = critic.parts(x)?;
        let scores = critic.combine(&parts)?;
        let has = alike(targets.values(), &scores)?;
        let factorises = critic.is_additive() && reference.is_all();
        Ok(Self {
            critic,
            reference,
            parts,
            scores,
            labels: targets.each_label()?,
            has,
            factorises,
            spread,
            whole: spread.whole(targets).each_label()?,
        })
    }

    /// The differentiable sum of the bounds, a scalar, nats; minus it is the loss.
    ///
    /// # Errors
    /// When a chunk has no tuples, or there are too many to count.
    pub fn value(&self) -> Result<Tensor> {
        self.blended(1.0)
    }

    /// The sum of the blends of all labels ([`Bound::blended`]): of weight 1 it is the [value](LabelBounds::value), of 0
    /// the log-likelihood of the labels, summed over them. A scalar, nats.
    ///
    /// # Errors
    /// As [`LabelBounds::value`].
    pub fn blended(&self, weight: f64) -> Result<Tensor> {
        if self.factorises {
            return self.factorised(&self.parts, &self.scores, weight);
        }
        let each = (0..self.labels.len()).map(|label| {
            let critic = OneLabel { critic: self.critic, label };
            Ok(self.bound(&critic)?.blended(weight)?)
        });
        Ok(tcmax_ops::sum_of(&each.collect::<Result<Vec<_>>>()?)?)
    }

    /// The value alone: no gradients are computed.
    ///
    /// # Errors
    /// As [`LabelBounds::value`].
    pub fn nats(&self) -> Result<f64> {
        if self.factorises {
            let parts: Vec<Tensor> = self.parts.iter().map(Tensor::detach).collect();
            return Ok(to_scalar_f64(&self.factorised(&parts, &self.scores.detach(), 1.0)?)?);
        }
        let each = (0..self.labels.len()).map(|label| {
            let critic = OneLabel { critic: self.critic, label };
            Ok(self.bound(&critic)?.nats()?)
        });
        each.sum()
    }

    /// As [`LabelBounds::nats`], of all members together.
    pub(crate) fn nats_of_all(&self) -> Result<f64> {
        self.spread.total(self.nats()?)
    }

    /// The bound on the sum over the labels of the total correlation of all variables and the label, from the
    /// sum of the bounds: less log 2 - H(y\[c\]) for each, with the plug-in entropies of the labels.
    pub fn total_correlation_of(&self, nats: f64) -> f64 {
        nats - self.whole.iter().map(|labels| 2f64.ln() - labels.entropy()).sum::<f64>()
    }

    /// Scores (N, C) of the joint examples, without their graph.
    pub fn scores(&self) -> Tensor {
        self.scores.detach()
    }

    fn factorised(&self, parts: &[Tensor], scores: &Tensor, weight: f64) -> Result<Tensor> {
        let (rows, columns) = scores.dims2()?;
        let group = self.spread.group().filter(|_| self.spread.adds_losses());
        // Those of all members.
        let rows = if group.is_some() { self.whole[0].len() } else { rows };
        let mut joint = (((&self.has - 0.5)? * scores)?.sum_all()? / rows as f64)?;
        if weight != 1.0 {
            // Over the outcomes: log(exp(f / 2) + exp(-f / 2)).
            let partition = (softplus(scores)? - (scores / 2.0)?)?.sum_all()?;
            joint = (joint - (partition * ((1.0 - weight) / rows as f64))?)?;
        }
        let log_count = parts.len() as f64 * (rows as f64).ln();
        // The score of a tuple is the sum of its parts, half of it the sum of their halves.
        let log_mean = |half: f64| -> Result<Tensor> {
            let summed = parts.iter().map(|part| match group {
                Some(group) => log_sum_exp_over(&(part * half)?, group)?.unsqueeze(0),
                None => log_sum_exp(&(part * half)?, 0)?.unsqueeze(0),
            });
            let summed = summed.collect::<candle_core::Result<Vec<_>>>()?;
            Ok((self.critic.combine(&summed)? - log_count)?)
        };
        let (yes, no) = (log_mean(0.5)?, log_mean(-0.5)?);
        let either = (softplus(&(yes - &no)?)? + no)?.sum_all()?;
        // What all members compute alike, each adds a part of.
        let part = group.map_or(1.0, |group| 1.0 / group.size() as f64) * weight;
        let either = if part == 1.0 { either } else { (either * part)? };
        Ok(((joint - either)? + columns as f64 * 2f64.ln() * part)?)
    }

    fn bound<'b>(&'b self, critic: &'b OneLabel<'_>) -> Result<Bound<'b>> {
        let labels = &self.labels[critic.label];
        Bound::new(critic, &self.parts, labels, self.reference.clone()).map_err(Error::from)
    }
}

/// One label of a critic as one with the outcomes no and yes, on the critic's parts.
struct OneLabel<'a> {
    critic: &'a dyn Critic,
    label: usize,
}

impl Critic for OneLabel<'_> {
    fn widths(&self) -> &[usize] {
        self.critic.widths()
    }

    fn outcomes(&self) -> usize {
        2
    }

    fn parts(&self, x: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        Ok(x.to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let yes = (self.critic.combine(parts)?.narrow(1, self.label, 1)? / 2.0)?;
        Ok(Tensor::cat(&[&yes.neg()?, &yes], 1)?)
    }

    /// The parts are those of the critic, whose scores have one sign.
    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.critic.parameters()
    }
}
