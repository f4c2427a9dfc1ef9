//! Several data sets as one.

use std::sync::Arc;

use tcmax_data::{Dataset, Modality};
use tcmax_ops::Seed;

use crate::Task;

/// Data sets of the same modalities and classes, one after the other.
pub(super) struct Chained(Vec<Arc<dyn Dataset>>);

impl Chained {
    pub(super) fn new(parts: Vec<Arc<dyn Dataset>>) -> Self {
        Self(parts)
    }

    fn find(&self, mut index: usize) -> (&dyn Dataset, usize) {
        for data in &self.0 {
            if index < data.len() {
                return (data.as_ref(), index);
            }
            index -= data.len();
        }
        panic!("there is no such example")
    }
}

impl Dataset for Chained {
    fn task(&self) -> Task {
        self.0[0].task()
    }

    fn target(&self, index: usize, out: &mut [f32]) {
        let (data, index) = self.find(index);
        data.target(index, out);
    }

    fn modalities(&self) -> &[Modality] {
        self.0[0].modalities()
    }

    fn classes(&self) -> &[String] {
        self.0[0].classes()
    }

    fn len(&self) -> usize {
        self.0.iter().map(|data| data.len()).sum()
    }

    fn label(&self, index: usize) -> u32 {
        let (data, index) = self.find(index);
        data.label(index)
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        let (data, index) = self.find(index);
        data.present(index, modality)
    }

    fn read(
        &self,
        index: usize,
        modality: usize,
        seed: Seed,
        out: &mut [f32],
    ) -> tcmax_data::Result<()> {
        let (data, index) = self.find(index);
        data.read(index, modality, seed, out)
    }

    fn identity(&self, index: usize) -> tcmax_data::Result<u64> {
        let (data, index) = self.find(index);
        data.identity(index)
    }
}
