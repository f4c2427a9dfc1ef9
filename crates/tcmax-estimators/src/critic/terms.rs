//! The critic whose terms are given: T(x_1, ..., x_M, c) = sum_m x_m\[c\].

use candle_core::Tensor;
use tcmax_ops::sum_of;

use super::definition::{Critic, check_variables};
use crate::error::Result;

/// The sum of its variables: they are the terms g_m (N, C) of an additive critic that was evaluated
/// elsewhere, such as the unimodal logits of an ensemble.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::{Bound, Reference};
/// use tcmax_estimators::critic::TermsCritic;
/// use tcmax_estimators::Labels;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two examples, one variable that tells the classes apart by a logit of 40.
/// let terms = [Tensor::new(&[[40f64, 0.0], [0.0, 40.0]], &Device::Cpu)?];
/// let labels = Labels::new(&[0, 1], 2, &Device::Cpu)?;
/// let critic = TermsCritic::new(1, 2);
/// let bound = Bound::new(&critic, &terms, &labels, Reference::all())?;
/// // H(y) = log 2 nats, all of it seen in the variable.
/// assert!((bound.nats()? - 2f64.ln()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermsCritic {
    widths: Vec<usize>,
    outcomes: usize,
}

impl TermsCritic {
    /// The critic of `variables` terms of `outcomes` columns.
    pub fn new(variables: usize, outcomes: usize) -> Self {
        Self { widths: vec![outcomes; variables], outcomes }
    }
}

impl Critic for TermsCritic {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.outcomes
    }

    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        check_variables(x, &self.widths)?;
        Ok(x.to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        Vec::new()
    }
}
