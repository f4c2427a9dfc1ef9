//! Epochs whose batches a method has planned.

use candle_core::Tensor;
use tcmax_data::Epoch;
use tcmax_losses::EpochPlan;
use tcmax_ops::Seed;

use super::run::Run;
use crate::results::EpochRecord;
use crate::{Error, Result};

impl Run<'_> {
    /// The batches of an epoch, of which this member reads its share, and how many they are.
    pub(super) fn batches(&self, plan: Option<&EpochPlan>, seed: Seed) -> Result<(Epoch, usize)> {
        let group = self.model.members().group();
        let member = (group.rank(), group.size());
        let Some(plan) = plan else {
            let usual = self.train.epoch_of_member(seed, member.0, member.1);
            return Ok((usual, self.train.num_batches()));
        };
        if plan.batches.is_empty() {
            let problem = "the method planned an epoch without examples";
            return Err(Error::setting("method", problem));
        }
        let rows =
            plan.batches.iter().map(|batch| batch.iter().map(|example| example.row).collect());
        let epoch = self.train.epoch_of_batches(rows.collect(), seed, member)?;
        Ok((epoch, plan.batches.len()))
    }

    /// Steps of all epochs so far.
    pub(super) fn steps_before(&self) -> usize {
        let of = |record: &EpochRecord| record.planned_batches.unwrap_or(self.train.num_batches());
        self.history.iter().map(of).sum()
    }
}

/// Features (B, D_m) with zeros in place of those of modalities that do not count; `only` is empty where all do.
pub(super) fn counted(features: Vec<Tensor>, only: &[Option<usize>]) -> Result<Vec<Tensor>> {
    if only.iter().all(Option::is_none) {
        return Ok(features);
    }
    let of = |(m, z): (usize, Tensor)| {
        let flags: Vec<f32> = only
            .iter()
            .map(|only| f32::from(u8::from(only.is_none_or(|only| only == m))))
            .collect();
        let flags = Tensor::from_vec(flags, (only.len(), 1), z.device())?.to_dtype(z.dtype())?;
        Ok(z.broadcast_mul(&flags)?)
    };
    features.into_iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn features_that_do_not_count_are_zeros() {
        let z = || Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
        let found = counted(vec![z(), z()], &[None, Some(0), Some(1)]).unwrap();
        assert_eq!(found[0].to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]);
        assert_eq!(found[1].to_vec2::<f32>().unwrap(), [[1.0, 2.0], [0.0, 0.0], [5.0, 6.0]]);
    }
}
