//! Total correlation of M variables and a label, under any critic.
//!
//! With a uniform reference for the label, the Donsker-Varadhan bound on N examples is
//!
//! ```text
//! bound = 1/N sum_i T(x_1^i, .., x_M^i, y_i)
//!         - log 1/(K C) sum over tuples (j_1..j_M) and outcomes c of exp T(x_1^{j_1}, .., x_M^{j_M}, c)   (nats)
//! ```
//!
//! over all K = N^M tuples, or over K of them. This is the negative of the TCMax loss ("Multimodal
//! Classification via Total Correlation Maximization", ICLR 2026). It bounds
//! KL(p(x, y) || prod_m p(x_m) U(y)) = TC(x, y) + log C - H(y); see [`Bound::total_correlation`].
//!
//! Bias: the sums over one batch replace expectations, and when the critic was fitted to these very
//! examples, the value is too high; report it from held-out data. Of random tuples the logarithm of a
//! mean is too small on average (Jensen), so that the bound is too high by about V / 2K, with V the
//! variance of exp T over all tuples relative to its squared mean; its gradient is biased by as much.
//! Both vanish as K grows. Cap: the N joint examples are among the N^M C equally weighted tuples, so the
//! value on N examples can never exceed `(M - 1) log N + log C`.
//!
//! No additive critic can pass sum_m I(y; x_m): the best one recovers the model in which the variables
//! are independent given the label, and what they share beyond the label, I(x_1; ...; x_M | y), stays
//! out of its reach.

use std::sync::OnceLock;

use candle_core::Tensor;
use tcmax_ops::{blended_log_likelihood, log_sum_exp, log_sum_exp_all, to_scalar_f64};

use super::product::{self, Pieces};
use super::reference::Reference;
use super::sharing::Sharing;
use super::within::{WithinClasses, within_classes};
use crate::critic::Critic;
use crate::error::{Error, Result};
use crate::sample::Labels;

/// The bound on one set of examples.
///
/// An additive critic has its sum over all tuples in O(M N C). Any other has its tuples scored together
/// where one chunk holds them, and else chunk by chunk, twice: once for the value, and again, only when
/// [`Bound::value`] is asked for, for gradients. Memory is O(chunk), time O(number of tuples).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Labels;
/// use tcmax_estimators::bound::{Bound, Reference};
/// use tcmax_estimators::critic::BilinearCritic;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let critic = BilinearCritic::from_tensor(Tensor::new(&[[1f64]], &Device::Cpu)?)?;
/// let x = Tensor::new(&[[1f64], [-1.0]], &Device::Cpu)?;
/// // No label: one outcome.
/// let labels = Labels::none(2, &Device::Cpu)?;
/// let bound = Bound::new(&critic, &[x.clone(), x], &labels, Reference::all())?;
/// // Joint examples score 1; of the four pairs, two score 1 and two -1.
/// let expected = 1.0 - ((1f64.exp() + (-1f64).exp()) / 2.0).ln();
/// assert!((bound.nats()? - expected).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
pub struct Bound<'a> {
    critic: &'a dyn Critic,
    labels: &'a Labels,
    reference: Reference,
    sharing: Sharing<'a>,
    parts: Vec<Tensor>,
    scores: Tensor,
    /// Absent until it is asked for, where it is a sum by factors.
    log_sum: OnceLock<LogSum>,
    /// The mean score of the joint examples and the log sum, where one operation has found both.
    found: OnceLock<[f64; 2]>,
}

/// log sum exp T over the tuples and outcomes.
enum LogSum {
    /// A scalar with its graph.
    Tensor(Tensor),
    /// The sum over pieces, whose graphs are gone.
    OfPieces(f64),
}

impl<'a> Bound<'a> {
    /// The bound of `critic` on variables x_m (N, D_m) and their labels, over the tuples of `reference`.
    ///
    /// # Errors
    /// When the variables do not fit the critic, or the labels or the tuples do not fit the variables;
    /// when a chunk has no tuples, or there are too many to count.
    pub fn new(
        critic: &'a dyn Critic,
        x: &[Tensor],
        labels: &'a Labels,
        reference: Reference,
    ) -> Result<Self> {
        Self::shared(critic, x, labels, reference, Sharing::Alone)
    }

    /// As [`Bound::new`], of which this process computes what [`Sharing`] says: its values are this member's parts.
    ///
    /// # Errors
    /// As [`Bound::new`]; when the rows are shared and the critic is not additive or the tuples are not all; and when
    /// the members cannot exchange.
    pub fn shared(
        critic: &'a dyn Critic,
        x: &[Tensor],
        labels: &'a Labels,
        reference: Reference,
        sharing: Sharing<'a>,
    ) -> Result<Self> {
        let factorises = critic.is_additive() && reference.tuples.is_none();
        if matches!(sharing, Sharing::Rows { .. }) && !factorises {
            let problem =
                "must be all tuples of an additive critic where rows are shared".to_owned();
            return Err(Error::Setting { field: "reference", problem });
        }
        let parts = critic.parts(x)?;
        let scores = critic.combine(&parts)?;
        labels.check(&scores)?;
        let (log_sum, found) = (OnceLock::new(), OnceLock::new());
        let bound = Self { critic, labels, reference, sharing, parts, scores, log_sum, found };
        if !factorises || !matches!(bound.sharing, Sharing::Alone) {
            // Members exchange here, all at the same place.
            bound.summed()?;
        }
        Ok(bound)
    }

    /// The log sum, computed once.
    fn summed(&self) -> Result<&LogSum> {
        if let Some(log_sum) = self.log_sum.get() {
            return Ok(log_sum);
        }
        let Self { critic, parts, sharing, .. } = self;
        let log_sum = if self.factorises() && !matches!(sharing, Sharing::Tuples { .. }) {
            LogSum::Tensor(product::factorised_log_sum(*critic, parts, sharing)?)
        } else {
            let pieces = self.pieces()?;
            match pieces.single()? {
                Some(tuples) => {
                    let scores = critic.combine(&tuples.gather(parts)?)?;
                    LogSum::Tensor(log_sum_exp_all(&scores)?)
                }
                None => {
                    let own = product::log_sum_of_pieces(*critic, parts, &pieces)?;
                    LogSum::OfPieces(sharing.log_sum(&own)?)
                }
            }
        };
        Ok(self.log_sum.get_or_init(|| log_sum))
    }

    /// Whether the sum over all tuples is one by factors.
    fn factorises(&self) -> bool {
        self.critic.is_additive() && self.reference.tuples.is_none()
    }

    /// The differentiable bound on KL(p(x, y) || prod_m p(x_m) U(y)), a scalar, nats; of several members this one's
    /// part. Gradients reach the variables and [`Critic::parameters`].
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub fn value(&self) -> Result<Tensor> {
        self.blended(1.0)
    }

    /// The bound, of which only the share `weight` is about the tuples: minus the loss
    ///
    /// ```text
    /// CE + weight (R - log C),    R = -1/N sum_i S(x^i) + log 1/K sum over tuples of exp S,    S = logsumexp_c T
    /// ```
    ///
    /// with the cross-entropy CE of the joint examples' scores. Of weight 1 it is the [bound](Bound::value), of 0 the
    /// log-likelihood of the labels; in between a blend of the loss of a generative model and that of a
    /// discriminative one (Lasserre, Bishop and Minka, CVPR 2006). A scalar, nats.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub fn blended(&self, weight: f64) -> Result<Tensor> {
        if let Some(value) = self.blended_at_once(weight)? {
            return Ok(value);
        }
        let mut joint = self.labels.mean(&self.labels.expected(&self.scores)?)?;
        if weight != 1.0 {
            let partition = self.labels.mean(&log_sum_exp(&self.scores, 1)?)?;
            joint = (joint - (partition * (1.0 - weight))?)?;
        }
        if weight == 0.0 {
            return Ok((joint * self.sharing.weight())?);
        }
        let summed = self.summed()?;
        let mut log_sum = match summed {
            LogSum::Tensor(log_sum) => log_sum.clone(),
            LogSum::OfPieces(log_sum) => {
                let pieces = self.pieces()?;
                product::attached(self.critic, &self.parts, &pieces, *log_sum, &joint)?
            }
        };
        if weight != 1.0 {
            log_sum = (log_sum * weight)?;
        }
        if matches!(self.sharing, Sharing::Alone) {
            return Ok(((joint - log_sum)? + self.log_count() * weight)?);
        }
        let part = 1.0 / self.sharing.position().1 as f64;
        let log_sum = match summed {
            LogSum::Tensor(_) => (log_sum * part)?,
            LogSum::OfPieces(_) => log_sum,
        };
        Ok((((joint * self.sharing.weight())? - log_sum)? + self.log_count() * (part * weight))?)
    }

    /// The blend by one operation, strictly between the weights 0 and 1, where there is one: for a critic that is a sum of
    /// up to three terms. (Those two are the losses they were, to the bit.)
    fn blended_at_once(&self, weight: f64) -> Result<Option<Tensor>> {
        let is_alone = matches!(self.sharing, Sharing::Alone);
        if weight == 0.0 || weight == 1.0 || !is_alone || !self.factorises() {
            return Ok(None);
        }
        let Some(labels) = self.labels.plain()? else { return Ok(None) };
        let Some(blended) = blended_log_likelihood(&self.parts, &labels, weight)? else {
            return Ok(None);
        };
        self.found.get_or_init(|| [blended.own, blended.log_sum]);
        Ok(Some((blended.value + self.log_count() * weight)?))
    }

    /// As [`Bound::blended`], with the scores of the labels averaged over tuples of examples of one class in place of
    /// the joint examples: what modalities share beyond the label then adds nothing. Where the critic is additive
    /// this is the same.
    ///
    /// # Errors
    /// As [`Bound::new`], and when several members share in the bound.
    pub fn blended_within_classes(&self, weight: f64, which: WithinClasses) -> Result<Tensor> {
        let value = self.blended(weight)?;
        if self.critic.is_additive() || weight == 0.0 {
            return Ok(value);
        }
        if !matches!(self.sharing, Sharing::Alone) {
            let problem =
                "must be computed by each member where tuples are those of one class".to_owned();
            return Err(Error::Setting { field: "sharing", problem });
        }
        let joint = self.labels.mean(&self.labels.expected(&self.scores)?)?;
        let within = within_classes(self.critic, &self.parts, self.labels, which)?;
        Ok((value + ((within - joint)? * weight)?)?)
    }

    /// The value alone, nats; of several members this one's part: no gradients are computed.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn nats(&self) -> Result<f64> {
        if let Some([joint, log_sum]) = self.found.get() {
            return Ok(joint - log_sum + self.log_count());
        }
        let joint = self.labels.mean(&self.labels.expected(&self.scores.detach())?)?;
        let joint = to_scalar_f64(&joint)?;
        if matches!(self.sharing, Sharing::Alone) {
            return Ok(joint - self.log_sum()? + self.log_count());
        }
        let part = 1.0 / self.sharing.position().1 as f64;
        Ok(joint * self.sharing.weight() + (self.log_count() - self.log_sum()?) * part)
    }

    /// The bound on the total correlation TC(x_1, ..., x_M, y), nats: [`Bound::nats`] less
    /// log C - H(y), with the plug-in entropy of the labels given.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn total_correlation(&self) -> Result<f64> {
        Ok(self.total_correlation_of(self.nats()?))
    }

    /// As [`Bound::total_correlation`], from the value of the whole bound: of several members, the sum of their
    /// parts.
    pub fn total_correlation_of(&self, nats: f64) -> f64 {
        let labels = self.sharing.whole(self.labels);
        nats - (labels.classes() as f64).ln() + labels.entropy()
    }

    /// Scores (N, C) of the joint examples, without their graph.
    pub fn scores(&self) -> Tensor {
        self.scores.detach()
    }

    /// No N examples can show more over all their tuples: (M - 1) log N + log C, nats.
    pub fn cap(&self) -> f64 {
        let examples = self.sharing.whole(self.labels).len();
        (self.parts.len() - 1) as f64 * (examples as f64).ln() + (self.labels.classes() as f64).ln()
    }

    /// The loss of each variable alone under the normalised product P(j_1, ..., j_M, c), nats:
    /// -1/N sum_i log P_m(i, y_i) - log N, where P_m sums out all other variables. They show how much of
    /// the fit each variable carries.
    ///
    /// # Errors
    /// When the bound is not over all tuples, or not over all of them here: an example may then be in none of them.
    pub fn variable_losses(&self) -> Result<Vec<f64>> {
        let is_alone = matches!(self.sharing, Sharing::Alone);
        if self.reference.tuples.is_some() || !is_alone {
            let problem = "must be all tuples for the losses of single variables".to_owned();
            return Err(Error::Setting { field: "reference", problem });
        }
        let log_n = (self.labels.len() as f64).ln();
        let log_sum = self.log_sum()?;
        let marginals = if self.critic.is_additive() {
            product::factorised_marginals(self.critic, &self.parts, self.labels)?
        } else {
            product::marginals_of_pieces(self.critic, &self.parts, self.labels, &self.pieces()?)?
        };
        Ok(marginals.iter().map(|marginal| log_sum - marginal - log_n).collect())
    }

    fn pieces(&self) -> Result<Pieces<'_>> {
        let examples = (self.labels.len(), self.parts.len());
        Pieces::new(&self.reference, examples, self.sharing.position())
    }

    fn log_sum(&self) -> Result<f64> {
        match self.summed()? {
            LogSum::Tensor(log_sum) => Ok(to_scalar_f64(&log_sum.detach())?),
            LogSum::OfPieces(log_sum) => Ok(*log_sum),
        }
    }

    /// log (K C).
    fn log_count(&self) -> f64 {
        let log_tuples = match &self.reference.tuples {
            None => {
                let examples = self.sharing.whole(self.labels).len();
                self.parts.len() as f64 * (examples as f64).ln()
            }
            Some(tuples) => (tuples.len() as f64).ln(),
        };
        log_tuples + (self.labels.classes() as f64).ln()
    }
}
