//! Some rows of a data set.

use std::sync::Arc;

use tcmax_ops::Seed;
use tcmax_registry::Task;

use crate::dataset::{Dataset, Modality};
use crate::error::Result;

/// Some rows of another data set, in the order given.
pub struct Subset {
    data: Arc<dyn Dataset>,
    rows: Vec<usize>,
}

impl Subset {
    /// The rows of `data` with these numbers, each of which must be one of its own.
    pub fn new(data: Arc<dyn Dataset>, rows: Vec<usize>) -> Self {
        Self { data, rows }
    }
}

impl Dataset for Subset {
    fn modalities(&self) -> &[Modality] {
        self.data.modalities()
    }

    fn classes(&self) -> &[String] {
        self.data.classes()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn is_labelled(&self) -> bool {
        self.data.is_labelled()
    }

    fn label(&self, index: usize) -> u32 {
        self.data.label(self.rows[index])
    }

    fn task(&self) -> Task {
        self.data.task()
    }

    fn target(&self, index: usize, out: &mut [f32]) {
        self.data.target(self.rows[index], out);
    }

    fn id(&self, index: usize) -> String {
        self.data.id(self.rows[index])
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.data.present(self.rows[index], modality)
    }

    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()> {
        self.data.read(self.rows[index], modality, seed, out)
    }

    fn identity(&self, index: usize) -> Result<u64> {
        self.data.identity(self.rows[index])
    }

    fn augments(&self, modality: usize) -> bool {
        self.data.augments(modality)
    }

    fn storage_digest(&self) -> String {
        self.data.storage_digest()
    }

    fn recipe(&self) -> Option<String> {
        self.data.recipe()
    }
}
