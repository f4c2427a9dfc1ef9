//! A critic whose outcome is not seen: T(x_1, ..., x_n) = logsumexp_c T'(x_1, ..., x_n, c).
//!
//! Of an additive T', exp T = sum_c prod_m exp g_m(x_m)\[c\] is a mixture of products: it can come as
//! close to any density ratio as C allows, and its sum over all N^n tuples still factorises. Of a trained
//! classifier, T scores how well the modalities of one example belong together.

use candle_core::Tensor;
use tcmax_ops::log_sum_exp;

use crate::{Critic, Result, Tuples};

/// The critic of the variables alone that another critic holds.
#[derive(Clone, Debug)]
pub struct LatentCritic<C>(pub C);

impl<C: Critic> LatentCritic<C> {
    fn sum_out(scores: &Tensor) -> Result<Tensor> {
        Ok(log_sum_exp(scores, 1)?.unsqueeze(1)?)
    }
}

impl<C: Critic> Critic for LatentCritic<C> {
    fn num_variables(&self) -> usize {
        self.0.num_variables()
    }

    fn num_outcomes(&self) -> usize {
        1
    }

    fn scores(&self, variables: &[Tensor]) -> Result<Tensor> {
        Self::sum_out(&self.0.scores(variables)?)
    }

    fn additive_terms(&self, _: &[Tensor]) -> Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    fn row_parts(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
        self.0.row_parts(variables)
    }

    fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> Result<Tensor> {
        Self::sum_out(&self.0.part_scores(parts, tuples)?)
    }

    fn factorised_log_sum(&self, variables: &[Tensor]) -> Result<Option<Tensor>> {
        self.0.factorised_log_sum(variables)
    }
}
