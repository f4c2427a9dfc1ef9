//! Sequences of several lengths, one after the other.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

/// Sequences of rows, one after the other in a tensor (N, D), with no padding between them.
///
/// What is computed row by row need not know of them; attention and means do.
#[derive(Clone, Debug)]
pub struct Sequences {
    /// Where each sequence ends, in rows.
    ends: Vec<usize>,
    seen: Option<Tensor>,
    causal: bool,
}

impl Sequences {
    /// Sequences of these lengths.
    ///
    /// # Errors
    /// When there is none, or one of them has no row.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Result<Self> {
        let mut rows = 0;
        let mut ends = Vec::new();
        for length in lengths {
            if length == 0 {
                bail!("sequence {} has no row", ends.len());
            }
            rows += length;
            ends.push(rows);
        }
        if ends.is_empty() {
            bail!("there are no sequences");
        }
        Ok(Self { ends, seen: None, causal: false })
    }

    /// `count` sequences of `length` rows each: those of a tensor (count, length, D).
    ///
    /// # Errors
    /// When one of the numbers is 0.
    pub fn equal(count: usize, length: usize) -> Result<Self> {
        Self::new(std::iter::repeat_n(length, count))
    }

    /// No query sees the rows where `seen` (N,) is 0, and no mean counts them.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn seeing(self, seen: Tensor) -> Result<Self> {
        if seen.dims() != [self.rows()] {
            bail!("a mask {:?} of {} rows", seen.shape(), self.rows());
        }
        Ok(Self { seen: Some(seen), ..self })
    }

    /// No query sees the rows after its own.
    #[must_use]
    pub fn causal(self) -> Self {
        Self { causal: true, ..self }
    }

    /// The number N of rows of all sequences.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// The number of sequences.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The rows of each sequence.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }

    /// The length of all, if they have the same.
    pub(crate) fn length(&self) -> Option<usize> {
        let length = self.ends[0];
        self.ranges().all(|rows| rows.len() == length).then_some(length)
    }

    pub(crate) fn is_causal(&self) -> bool {
        self.causal
    }

    pub(crate) fn seen(&self) -> Option<&Tensor> {
        self.seen.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn ranges_follow_one_another() {
        let sequences = Sequences::new([2, 1, 4]).unwrap();
        assert_eq!(sequences.ranges().collect::<Vec<_>>(), [0..2, 2..3, 3..7]);
        assert_eq!((sequences.rows(), sequences.count(), sequences.length()), (7, 3, None));
        assert_eq!(Sequences::equal(3, 5).unwrap().length(), Some(5));
    }

    #[test]
    fn sequences_without_rows_and_masks_of_others_are_errors() {
        assert!(Sequences::new([2, 0]).is_err());
        assert!(Sequences::new([]).is_err());
        let mask = Tensor::new(&[1f32, 0.0], &Device::Cpu).unwrap();
        assert!(Sequences::equal(1, 3).unwrap().seeing(mask).is_err());
    }
}
