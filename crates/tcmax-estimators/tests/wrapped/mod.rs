//! A critic around another, for tests in several crates.

use std::ops::Deref;

use candle_core::Tensor;
use tcmax_estimators::{Critic, Result};

/// The critic that `P` points to, but for saying that it is a sum.
pub struct Wrapped<P>(pub P);

impl<P: Deref<Target: Critic>> Critic for Wrapped<P> {
    fn widths(&self) -> &[usize] {
        self.0.widths()
    }

    fn outcomes(&self) -> usize {
        self.0.outcomes()
    }

    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        self.0.parts(x)
    }

    fn combine(&self, parts: &[Tensor]) -> Result<Tensor> {
        self.0.combine(parts)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.0.parameters()
    }
}
