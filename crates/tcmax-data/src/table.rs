//! Examples in memory: tables of inputs, shared between splits and seeds, and indices into them.

use std::sync::Arc;

use tcmax_ops::Seed;

use crate::dataset::{Dataset, Modality, identity_of_inputs};
use crate::error::Result;

/// The index of the input of an example that lacks this modality.
pub const ABSENT: usize = usize::MAX;

/// A column of inputs of one modality.
#[derive(Clone)]
pub struct Column {
    /// Inputs one after the other.
    pub items: Arc<Vec<f32>>,
    /// The input of each example, or [`ABSENT`].
    pub rows: Vec<usize>,
    /// A square of zeros in each example's input, if any.
    pub blanks: Option<Vec<Blank>>,
}

/// A square of an image that is blanked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blank {
    /// Its first row.
    pub top: usize,
    /// Its first column.
    pub left: usize,
    /// Rows and columns.
    pub size: usize,
}

/// Labelled examples in memory.
#[derive(Clone)]
pub struct TableDataset {
    /// The modalities.
    pub modalities: Arc<Vec<Modality>>,
    /// Class names.
    pub classes: Arc<Vec<String>>,
    /// The class of each example.
    pub labels: Vec<u32>,
    /// One column per modality.
    pub columns: Vec<Column>,
    /// What each example was computed from; absent: the items are the data themselves.
    pub identities: Option<Vec<u64>>,
}

impl Dataset for TableDataset {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.columns[modality].rows[index] != ABSENT
    }

    fn read(&self, index: usize, modality: usize, _: Seed, out: &mut [f32]) -> Result<()> {
        let column = &self.columns[modality];
        if column.rows[index] == ABSENT {
            out.fill(0.0);
            return Ok(());
        }
        let start = column.rows[index] * out.len();
        out.copy_from_slice(&column.items[start..][..out.len()]);
        if let Some(blanks) = &column.blanks {
            blank(out, &self.modalities[modality].shape, blanks[index]);
        }
        Ok(())
    }

    fn identity(&self, index: usize) -> Result<u64> {
        match &self.identities {
            Some(identities) => Ok(identities[index]),
            None => identity_of_inputs(self, index),
        }
    }
}

fn blank(out: &mut [f32], shape: &[usize], Blank { top, left, size }: Blank) {
    let &[.., height, width] = shape else { return };
    for channel in out.chunks_exact_mut(height * width) {
        for row in channel.chunks_exact_mut(width).skip(top).take(size) {
            row[left..(left + size).min(width)].fill(0.0);
        }
    }
}
