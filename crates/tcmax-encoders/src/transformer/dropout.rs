//! Dropout whose draws are those of the seed and of the steps that were trained.

use std::cell::Cell;

use candle_core::{Tensor, Var};
use tcmax_ops::{Hidden, ParamBuilder, Seed, to_scalar_f64};

use crate::error::Result;

/// The dropout of one network.
///
/// The number of training steps so far is the buffer `dropout.steps`, so that a resumed run draws what it
/// would have drawn without an interruption. It is read in every pass, so it lives on the CPU.
#[derive(Clone, Debug)]
pub(crate) struct Dropout {
    rate: f64,
    seed: Seed,
    steps: Option<Var>,
}

impl Dropout {
    /// # Errors
    /// When the name of the buffer is taken.
    pub(crate) fn new(rate: f64, builder: &ParamBuilder) -> Result<Self> {
        let builder = builder.pp("dropout");
        let steps = (rate > 0.0).then(|| builder.on_host().buffer("steps", (), 0.0)).transpose()?;
        Ok(Self { rate, seed: builder.seed(), steps })
    }

    /// The draws of one pass: none outside training.
    pub(crate) fn pass(&self, train: bool) -> Result<Pass> {
        let nothing = Pass { rate: 0.0, seed: self.seed, place: Cell::new(0) };
        let Some(steps) = self.steps.as_ref().filter(|_| train) else { return Ok(nothing) };
        let step = to_scalar_f64(steps.as_tensor())?;
        steps.set(&(steps.as_tensor() + 1.0)?)?;
        Ok(Pass { rate: self.rate, seed: self.seed.index(step as u64), ..nothing })
    }
}

/// One pass through a network.
pub(crate) struct Pass {
    rate: f64,
    seed: Seed,
    /// How many places have drawn.
    place: Cell<u64>,
}

impl Pass {
    /// `x` after the dropout of the next place.
    pub(crate) fn apply(&self, x: Tensor) -> Result<Tensor> {
        match self.next() {
            Some(seed) => Ok(tcmax_ops::dropout(&x, self.rate, seed)?),
            None => Ok(x),
        }
    }

    /// Hidden values after the dropout of the next place.
    pub(crate) fn apply_hidden(&self, x: Hidden) -> Result<Hidden> {
        match self.next() {
            Some(seed) => Ok(x.dropout(self.rate, seed)?),
            None => Ok(x),
        }
    }

    /// What the next place draws from, if it draws.
    fn next(&self) -> Option<Seed> {
        (self.rate > 0.0).then(|| self.seed.index(self.place.replace(self.place.get() + 1)))
    }
}
