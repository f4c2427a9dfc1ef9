//! The mean over the rows of each sequence that are counted.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::tasks::Fork;

/// Which rows of a tensor (N, D) belong to which sequence, and which of them are counted; absent: all.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) width: usize,
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) counted: Option<Vec<bool>>,
}

impl Rows {
    fn of(&self, sequence: usize) -> impl Iterator<Item = usize> + '_ {
        let counted = |row: &usize| self.counted.as_ref().is_none_or(|counted| counted[*row]);
        self.ranges[sequence].clone().filter(counted)
    }

    /// 1 / the number of rows of a sequence that are counted.
    fn share<T: Element>(&self, sequence: usize) -> T {
        T::from_f64(1.0 / self.of(sequence).count().max(1) as f64)
    }
}

/// (N, D) to (sequences, D): 0 where no row is counted.
pub(crate) fn forward<T: Element>(rows: &Rows, x: &[T]) -> Vec<T> {
    let mut means = vec![T::zero(); rows.ranges.len() * rows.width];
    means.par_chunks_mut(rows.width).enumerate().fork(|(sequence, mean)| {
        for row in rows.of(sequence) {
            for (sum, value) in mean.iter_mut().zip(&x[row * rows.width..][..rows.width]) {
                *sum += *value;
            }
        }
        let share = rows.share(sequence);
        mean.iter_mut().for_each(|sum| *sum *= share);
    });
    means
}

/// The gradient (N, D) of that of the means.
pub(crate) fn backward<T: Element>(rows: &Rows, grad: &[T]) -> Vec<T> {
    let parts = (0..rows.ranges.len()).into_par_iter().gather(|sequence| {
        let range = &rows.ranges[sequence];
        let mut part = vec![T::zero(); range.len() * rows.width];
        let share = rows.share::<T>(sequence);
        let grad = &grad[sequence * rows.width..][..rows.width];
        for row in rows.of(sequence) {
            let line = &mut part[(row - range.start) * rows.width..][..rows.width];
            line.iter_mut().zip(grad).for_each(|(line, grad)| *line = *grad * share);
        }
        part
    });
    parts.concat()
}
