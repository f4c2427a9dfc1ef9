//! Examples read into memory, before classes and splits are made of them.

use std::path::Path;
use std::sync::Arc;

use crate::arrays::Values;
use crate::dataset::{Modality, ModalityKind};
use crate::problems::{Position, Problems};
use crate::split::Split;
use crate::table::{ABSENT, Column};
use crate::targets::Targets;
use crate::words::Words;

/// One modality in memory.
pub(super) struct CollectedModality {
    pub(super) modality: Modality,
    /// Inputs one after the other.
    pub(super) items: Vec<f32>,
    /// The index of each example's input, or [`ABSENT`].
    pub(super) rows: Vec<usize>,
}

/// What the labels of a file are.
pub(super) enum Given {
    /// Cells as they are in the file.
    Cells(Words),
    /// Labels or numbers in a matrix.
    Targets(Targets),
}

/// Everything a file or folder of features says.
pub(super) struct Collected {
    pub(super) modalities: Vec<CollectedModality>,
    /// None of data to predict.
    pub(super) labels: Option<Given>,
    /// What the examples are called, where the file says.
    pub(super) ids: Option<Words>,
    pub(super) groups: Option<Words>,
    pub(super) splits: Option<Vec<Split>>,
}

impl CollectedModality {
    /// A modality of N inputs of one shape from `values`, N inputs one after the other; rows with
    /// `present` false are absent. Numbers that f32 does not hold are problems.
    pub(super) fn new(
        file: &Path,
        name: &str,
        shape: &[usize],
        values: Values,
        present: impl Fn(usize) -> bool,
        problems: &mut Problems,
    ) -> Self {
        let shape = if shape.is_empty() { vec![1] } else { shape.to_vec() };
        let modality = Modality { name: name.to_owned(), kind: kind_of(&shape), shape };
        let items = values.into_f32();
        let rows = checked_rows(file, &modality, &items, present, problems);
        Self { modality, items, rows }
    }

    /// A modality of N sequences of [steps, features + 1], the last column of which says whether a step is
    /// there.
    pub(super) fn sequence(
        file: &Path,
        name: &str,
        shape: [usize; 2],
        items: Vec<f32>,
        present: impl Fn(usize) -> bool,
        problems: &mut Problems,
    ) -> Self {
        let modality =
            Modality { name: name.to_owned(), kind: ModalityKind::Sequence, shape: shape.to_vec() };
        let rows = checked_rows(file, &modality, &items, present, problems);
        Self { modality, items, rows }
    }

    pub(super) fn into_column(self) -> (Modality, Column) {
        let column = Column { items: Arc::new(self.items), rows: self.rows, blanks: None };
        (self.modality, column)
    }
}

/// The rows that are there; numbers that f32 does not hold are problems.
fn checked_rows(
    file: &Path,
    modality: &Modality,
    items: &[f32],
    present: impl Fn(usize) -> bool,
    problems: &mut Problems,
) -> Vec<usize> {
    let mut rows = Vec::with_capacity(items.len() / modality.len());
    for (row, input) in items.chunks_exact(modality.len()).enumerate() {
        if !present(row) {
            rows.push(ABSENT);
            continue;
        }
        if let Some(position) = input.iter().position(|value| !value.is_finite()) {
            let what = match input[position] {
                value if value.is_nan() => "NaN",
                _ => "infinite, or too large for 32 bits",
            };
            let what = format!("value {position} is {what}; correct or remove the row");
            problems.add(file, Position::Row(row), &modality.name, what);
        }
        rows.push(row);
    }
    rows
}

/// [C, H, W] and [C, T, H, W] are pixels; everything else is a vector, a sequence laid end to end.
fn kind_of(shape: &[usize]) -> ModalityKind {
    match shape {
        [1..=4, .., height, width] if shape.len() >= 3 && *height > 3 && *width > 3 => {
            ModalityKind::Image
        }
        _ => ModalityKind::Features,
    }
}
