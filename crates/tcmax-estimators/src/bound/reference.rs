//! The tuples that a bound sums over.

use crate::sample::Tuples;

/// Which tuples of the product of marginals a bound sums over, and how many are in memory at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `None`: all N^M.
    pub(super) tuples: Option<Tuples>,
    pub(super) chunk: usize,
}

impl Reference {
    /// Tuples in memory at a time by default.
    pub const CHUNK: usize = 2048;

    /// All N^M tuples: the exact bound.
    pub fn all() -> Self {
        Self { tuples: None, chunk: Self::CHUNK }
    }

    /// These tuples. Of [`Tuples::random`], whose rows are drawn independently, the mean of exp T is that
    /// over all N^M tuples on average, whatever their number.
    pub fn of(tuples: Tuples) -> Self {
        Self { tuples: Some(tuples), chunk: Self::CHUNK }
    }

    /// Whether it is all tuples.
    pub fn is_all(&self) -> bool {
        self.tuples.is_none()
    }

    /// With at most `chunk` tuples in memory at a time. Additive critics need none for all tuples.
    #[must_use]
    pub fn in_chunks_of(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }
}

impl Default for Reference {
    fn default() -> Self {
        Self::all()
    }
}
