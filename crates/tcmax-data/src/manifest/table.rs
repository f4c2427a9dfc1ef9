//! Tables of words, whatever file they come from.

use std::collections::BTreeSet;
use std::path::Path;

use crate::problems::{Position, Problems};

/// Rows of optional words under named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextTable {
    pub(super) names: Vec<String>,
    /// Rows of as many cells as there are names; empty cells are `None`.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Where each row is.
    pub(super) positions: Vec<Position>,
}

/// How large a table is, to be checked before its rows are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) cells: usize,
    /// Bytes of text.
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn add_row(&mut self, cells: usize, bytes: usize) {
        self.rows += 1;
        self.cells += cells;
        self.bytes += bytes;
    }

    /// Whether rows and cells would take far more memory than their text: no table of files or texts
    /// has cells of a few bytes by the million.
    pub(super) fn is_too_large(&self) -> bool {
        const PER_ROW: usize = 240;
        const PER_CELL: usize = 32;
        PER_ROW * self.rows + PER_CELL * self.cells > (40 << 20) + 12 * self.bytes
    }

    pub(super) fn problem(&self) -> String {
        format!(
            "{} rows of {} bytes on average are not a table of files or texts; for numbers use feature \
             tables or a feature file",
            self.rows,
            self.bytes / self.rows.max(1)
        )
    }
}

pub(super) fn check_names(path: &Path, names: &[String], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.contains(['/', '.', ';']) {
            let what = "a column's name must be there, without '/', '.' or ';'";
            problems.add(path, Position::Line(1), name, what);
        }
        if !seen.insert(name) {
            problems.add(path, Position::Line(1), name, "two columns have this name");
        }
    }
}
