//! Weights averaged over steps.

use std::collections::BTreeMap;

use candle_core::Tensor;
use tcmax_ops::{Params, State};

use crate::error::Result;

/// A running average of every trainable parameter, in f32.
pub(super) struct Average(BTreeMap<String, Vec<f32>>);

impl Average {
    /// The current parameters.
    pub(super) fn new(params: &Params) -> Result<Self> {
        let value = |(name, var): (&str, &candle_core::Var)| {
            Ok((name.to_owned(), var.as_detached_tensor().flatten_all()?.to_vec1()?))
        };
        Ok(Self(params.trainable().map(value).collect::<Result<_>>()?))
    }

    /// average <- decay average + (1 - decay) parameter.
    pub(super) fn update(&mut self, params: &Params, decay: f64) -> Result<()> {
        let (old, new) = (decay as f32, (1.0 - decay) as f32);
        for ((_, average), (_, var)) in self.0.iter_mut().zip(params.trainable()) {
            let now: Vec<f32> = var.as_detached_tensor().flatten_all()?.to_vec1()?;
            average.iter_mut().zip(now).for_each(|(mean, now)| *mean = old * *mean + new * now);
        }
        Ok(())
    }

    /// The average as weights that [`Params::load`] takes.
    pub(super) fn state(&self, params: &Params) -> Result<State> {
        let tensor =
            |((name, average), (_, var)): ((&String, &Vec<f32>), (&str, &candle_core::Var))| {
                let average = Tensor::from_slice(average, var.shape(), var.device())?;
                Ok((name.clone(), average))
            };
        self.0.iter().zip(params.trainable()).map(tensor).collect()
    }
}
