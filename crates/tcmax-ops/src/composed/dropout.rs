//! Dropout that draws on the host.

use candle_core::{Result, Tensor, bail};
use rand::Rng;

use crate::training::seed::Seed;

/// What is drawn for each value, and what decides on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chances {
    /// A value is dropped where a number of 32 random bits is below this.
    pub(crate) dropped: u32,
    /// What the others are multiplied by.
    pub(crate) kept: f32,
}

impl Chances {
    /// None where nothing is dropped.
    pub(crate) fn of(rate: f64) -> Result<Option<Self>> {
        if !(0.0..1.0).contains(&rate) {
            bail!("dropout: a rate of {rate} is not at least 0 and below 1");
        }
        let dropped = (rate * (f64::from(u32::MAX) + 1.0)) as u32;
        Ok((rate > 0.0).then_some(Self { dropped, kept: (1.0 / (1.0 - rate)) as f32 }))
    }
}

pub(crate) fn dropout(x: &Tensor, chances: Chances, seed: Seed) -> Result<Tensor> {
    x * factors(x, chances, seed)?
}

/// What each value of `x` is multiplied by.
pub(crate) fn factors(
    x: &Tensor,
    Chances { dropped, kept }: Chances,
    seed: Seed,
) -> Result<Tensor> {
    let mut rng = seed.rng();
    let factor = |_| if rng.random::<u32>() < dropped { 0.0 } else { kept };
    let factors: Vec<f32> = (0..x.elem_count()).map(factor).collect();
    Tensor::from_vec(factors, x.shape(), x.device())?.to_dtype(x.dtype())
}
