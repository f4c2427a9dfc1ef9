//! Examples in memory that have names.

use tcmax_ops::Seed;

use crate::dataset::{Dataset, Modality};
use crate::error::Result;
use crate::table::TableDataset;
use crate::words::Words;

/// A table whose examples are called by their ids.
pub(super) struct Named {
    table: TableDataset,
    ids: Words,
}

impl Named {
    /// `ids` has an entry for each example.
    pub(super) fn new(table: TableDataset, ids: Words) -> Self {
        Self { table, ids }
    }
}

impl Dataset for Named {
    fn modalities(&self) -> &[Modality] {
        self.table.modalities()
    }

    fn classes(&self) -> &[String] {
        self.table.classes()
    }

    fn len(&self) -> usize {
        self.table.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.table.label(index)
    }

    fn id(&self, index: usize) -> String {
        self.ids.word(index).to_owned()
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.table.present(index, modality)
    }

    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()> {
        self.table.read(index, modality, seed, out)
    }

    fn identity(&self, index: usize) -> Result<u64> {
        self.table.identity(index)
    }
}
