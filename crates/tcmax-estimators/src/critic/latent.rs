//! A critic whose outcome is summed out: T(x_1, ..., x_n) = logsumexp_c T'(x_1, ..., x_n, c).
//!
//! Of an additive T', exp T = sum_c prod_m exp g_m(x_m)\[c\] is a mixture of products: it can come as
//! close to any density ratio as C allows, and its sum over all N^n tuples still factorises. Of a trained
//! classifier, T scores how well the modalities of one example belong together.

use std::ops::Deref;

use candle_core::Tensor;
use tcmax_ops::log_sum_exp;

use super::definition::Critic;
use crate::error::Result;

/// A critic of the variables alone, made of another critic by summing its outcomes out; `P` points to that
/// critic, as a `Box` or a reference does.
#[derive(Clone, Debug)]
pub struct LatentCritic<P>(pub P);

impl<P: Deref<Target: Critic>> Critic for LatentCritic<P> {
    fn widths(&self) -> &[usize] {
        self.0.widths()
    }

    fn outcomes(&self) -> usize {
        1
    }

    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        self.0.parts(x)
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        Ok(log_sum_exp(&self.0.combine(parts)?, 1)?.unsqueeze(1)?)
    }

    fn is_additive(&self) -> bool {
        self.0.is_additive()
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.0.parameters()
    }
}
