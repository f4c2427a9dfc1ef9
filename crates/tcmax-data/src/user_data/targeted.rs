//! Examples whose targets are no classes.

use std::sync::Arc;

use tcmax_ops::Seed;
use tcmax_registry::Task;

use crate::dataset::{Dataset, Modality};
use crate::error::Result;
use crate::targets::Targets;

/// A data set with labels or numbers in place of its classes.
pub(super) struct Targeted {
    data: Arc<dyn Dataset>,
    targets: Arc<Targets>,
}

impl Targeted {
    /// `targets` has a row for each example.
    pub(super) fn new(data: Arc<dyn Dataset>, targets: Arc<Targets>) -> Self {
        Self { data, targets }
    }
}

impl Dataset for Targeted {
    fn modalities(&self) -> &[Modality] {
        self.data.modalities()
    }

    fn classes(&self) -> &[String] {
        &self.targets.names
    }

    fn task(&self) -> Task {
        self.targets.task
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn target(&self, index: usize, out: &mut [f32]) {
        let start = index * self.targets.names.len();
        out.copy_from_slice(&self.targets.values[start..][..out.len()]);
    }

    fn id(&self, index: usize) -> String {
        self.data.id(index)
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.data.present(index, modality)
    }

    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()> {
        self.data.read(index, modality, seed, out)
    }

    fn identity(&self, index: usize) -> Result<u64> {
        self.data.identity(index)
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
