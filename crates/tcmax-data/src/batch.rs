//! Batches, and how they are read.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use tcmax_ops::{Seed, tensor_on};
use tcmax_parallel::share;
use tcmax_registry::Task;

use crate::dataset::Dataset;
use crate::error::{Error, Result};

/// Some examples of a data set.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One tensor per modality, (B, shape...), f32.
    pub inputs: Vec<Tensor>,
    /// Labels (B,), u32, every one a class, on the CPU, where they are checked; (0,) of data without labels, and of
    /// other tasks than classes.
    pub labels: Tensor,
    /// Targets of other tasks than classes, (B, C), f32 ([`Dataset::target`]); none of classes, and of data
    /// without labels.
    pub targets: Option<Tensor>,
    /// Which modalities each example has, (B, M), f32, 1 or 0, on the CPU; none when all are there. Inputs that
    /// are not there are zeros.
    pub present: Option<Tensor>,
    /// Which examples these are.
    pub indices: Vec<usize>,
    /// The batch that this is a share of, without its inputs; none where it is a whole one.
    pub whole: Option<Box<Self>>,
}

/// Reads batches.
pub(crate) struct Reader {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) device: Device,
}

impl Reader {
    /// A batch, or the share of member `rank` of so many.
    pub(crate) fn batch(
        &self,
        indices: &[usize],
        of_member: Option<(usize, usize)>,
        seed: Seed,
    ) -> Result<Batch> {
        let Some((rank, members)) = of_member else { return self.read(indices, seed) };
        let own = self.read(&indices[share(indices.len(), rank, members)], seed)?;
        let whole = Some(Box::new(self.described(indices, Vec::new())?));
        Ok(Batch { whole, ..own })
    }

    fn read(&self, indices: &[usize], seed: Seed) -> Result<Batch> {
        let mut inputs = Vec::new();
        for (m, modality) in self.dataset.modalities().iter().enumerate() {
            let length = modality.len();
            let mut values = Vec::with_capacity(indices.len() * length);
            for (n, &index) in indices.iter().enumerate() {
                // One after the other, so that zeros are still near when they are overwritten.
                values.resize((n + 1) * length, 0f32);
                let out = &mut values[n * length..];
                self.dataset.read(index, m, seed.index(index as u64), out)?;
                // All are looked at, whatever is found: so they can be in vectors.
                if out.iter().fold(false, |found, value| found | !value.is_finite()) {
                    let modality = modality.name.clone();
                    return Err(Error::NotFinite { row: index, modality });
                }
            }
            let shape = [&[indices.len()], &modality.shape[..]].concat();
            inputs.push(tensor_on(values, shape, &self.device)?);
        }
        self.described(indices, inputs)
    }

    /// What a batch is besides its inputs, with these.
    pub(crate) fn described(&self, indices: &[usize], inputs: Vec<Tensor>) -> Result<Batch> {
        let targets = self.targets(indices)?;
        let is_labelled = self.dataset.is_labelled() && self.dataset.task() == Task::Classes;
        let labelled = indices.iter().filter(|_| is_labelled);
        let labels: Vec<u32> = labelled.map(|&index| self.dataset.label(index)).collect();
        let count = labels.len();
        let labels = Tensor::from_vec(labels, count, &Device::Cpu)?;
        let present = self.present(indices)?;
        let indices = indices.to_vec();
        Ok(Batch { inputs, labels, targets, present, indices, whole: None })
    }

    /// The targets of tasks other than classes.
    fn targets(&self, indices: &[usize]) -> Result<Option<Tensor>> {
        if self.dataset.task() == Task::Classes || !self.dataset.is_labelled() {
            return Ok(None);
        }
        let columns = self.dataset.classes().len();
        let mut values = vec![0f32; indices.len() * columns];
        for (out, &index) in values.chunks_exact_mut(columns).zip(indices) {
            self.dataset.target(index, out);
        }
        Ok(Some(tensor_on(values, (indices.len(), columns), &self.device)?))
    }

    fn present(&self, indices: &[usize]) -> Result<Option<Tensor>> {
        let modalities = self.dataset.modalities().len();
        let flag = |&index: &usize| {
            (0..modalities).map(move |m| f32::from(u8::from(self.dataset.present(index, m))))
        };
        let flags: Vec<f32> = indices.iter().flat_map(flag).collect();
        if flags.iter().all(|&flag| flag == 1.0) {
            return Ok(None);
        }
        Ok(Some(Tensor::from_vec(flags, (indices.len(), modalities), &Device::Cpu)?))
    }
}
