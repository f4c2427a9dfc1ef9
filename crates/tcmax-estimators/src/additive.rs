//! Total correlation of M variables and a label under an additive critic.
//!
//! For T(x_1, ..., x_M, c) = sum_m g_m(x_m)\[c\] and a uniform reference for the label, the
//! Donsker-Varadhan bound on N examples and *all* N^M tuples of them is
//!
//! ```text
//! bound = 1/N sum_i sum_m g_m(x_m^i)[y_i]
//!         - logsumexp_c sum_m logsumexp_j g_m(x_m^j)[c]  +  M log N + log C      (nats)
//! ```
//!
//! because the sum over tuples factorises over the modalities: O(M N C) time and memory instead of
//! O(N^M C). This is the negative of the TCMax loss ("Multimodal Classification via Total
//! Correlation Maximization", ICLR 2026). It bounds KL(p(x, y) || prod_m p(x_m) U(y)) =
//! TC(x, y) + log C - H(y); see [`BatchBound::total_correlation`] for the correction when labels
//! are not balanced. Bias: the sums over one batch replace expectations, and when the critic was fitted
//! to these very examples, the value is too high; report it from held-out data. Cap: the N joint
//! examples are among the N^M C equally weighted tuples, so the value on N examples can never exceed
//! `(M - 1) log N + log C` (and so neither the looser `M log N + log C` of the loss's constant).
//!
//! No additive critic can pass sum_m I(y; x_m): the best one recovers the model in which the
//! variables are independent given the label, and what they share beyond the label,
//! I(x_1; ...; x_M | y), stays out of its reach.

use candle_core::Tensor;
use tcmax_ops::{log_sum_exp, log_sum_exp_all, sum_of, to_scalar_f64};

use crate::{Error, Labels, Result};

/// The bound on one set of examples, with what it is made of.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::{BatchBound, Labels};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two examples, one variable that tells the classes apart by a logit of 40.
/// let terms = [Tensor::new(&[[40f64, 0.0], [0.0, 40.0]], &Device::Cpu)?];
/// let labels = Labels::new(&[0, 1], 2, &Device::Cpu)?;
/// let bound = BatchBound::new(&terms, &labels)?;
/// // H(y) = log 2 nats, all of it seen in the variable.
/// assert!((bound.value().to_scalar::<f64>()? - 2f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BatchBound {
    labels: Labels,
    /// g_m, each (N, C).
    terms: Vec<Tensor>,
    /// logsumexp_j g_m(x_m^j), each (C,).
    class_sums: Vec<Tensor>,
    /// logsumexp over all tuples and classes, scalar.
    log_sum: Tensor,
    value: Tensor,
}

impl BatchBound {
    /// The bound from the terms g_m, each (N, C), and the labels.
    ///
    /// # Errors
    /// When there are no terms, or their shapes do not fit each other or the labels.
    pub fn new(terms: &[Tensor], labels: &Labels) -> Result<Self> {
        check_shapes(terms, labels)?;
        let class_sums = terms
            .iter()
            .map(|term| log_sum_exp(term, 0))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let log_sum = log_sum_exp_all(&sum_of(&class_sums)?)?;
        let joint = labels.pick(&sum_of(terms)?)?.mean_all()?;
        let constant = terms.len() as f64 * (labels.len() as f64).ln();
        let constant = constant + (labels.classes() as f64).ln();
        let value = ((joint - &log_sum)? + constant)?;
        Ok(Self { labels: labels.clone(), terms: terms.to_vec(), class_sums, log_sum, value })
    }

    /// The differentiable bound on KL(p(x, y) || prod_m p(x_m) U(y)), a scalar, nats.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The bound on the total correlation TC(x_1, ..., x_M, y), nats: [`Self::value`] less
    /// log C - H(y), with the plug-in entropy of the labels given.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn total_correlation(&self) -> Result<f64> {
        let value = to_scalar_f64(&self.value)?;
        Ok(value - (self.labels.classes() as f64).ln() + self.labels.entropy())
    }

    /// No batch of this size can show more: (M - 1) log N + log C, nats, because the sum over all
    /// N^M C tuples holds the N joint ones.
    pub fn cap(&self) -> f64 {
        (self.terms.len() - 1) as f64 * (self.labels.len() as f64).ln()
            + (self.labels.classes() as f64).ln()
    }

    /// The loss of each variable alone under the normalised product P(j_1, ..., j_M, c): scalars
    /// -1/N sum_i log P_m(i, y_i) - log N, where P_m sums out all other variables.
    ///
    /// These tell how much of the fit each variable carries; they need no product tensor either.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn variable_losses(&self) -> Result<Vec<Tensor>> {
        let all_sums = sum_of(&self.class_sums)?;
        let log_n = (self.labels.len() as f64).ln();
        let loss_of = |term: &Tensor, own_sum: &Tensor| {
            let others = (&all_sums - own_sum)?;
            let marginal = self.labels.pick(&term.broadcast_add(&others)?)?.mean_all()?;
            Ok(((&self.log_sum - marginal)? - log_n)?)
        };
        self.terms.iter().zip(&self.class_sums).map(|(term, own)| loss_of(term, own)).collect()
    }
}

fn check_shapes(terms: &[Tensor], labels: &Labels) -> Result<()> {
    if terms.is_empty() {
        return Err(Error::Empty { what: "the list of terms", unit: "term" });
    }
    let wanted = [labels.len(), labels.classes()];
    for (m, term) in terms.iter().enumerate() {
        if term.dims() != wanted {
            return Err(Error::WrongShape {
                what: format!("term of variable {m}"),
                got: term.dims().to_vec(),
                wanted: format!("{wanted:?} (examples, classes)"),
            });
        }
    }
    Ok(())
}
