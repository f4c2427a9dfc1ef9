//! A matrix that is split into blocks which tasks write at the same time.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Rows and columns of a row-major matrix of floats, borrowed for writing.
///
/// Splitting by columns gives parts whose rows interleave in memory, which slices cannot express.
pub(crate) struct Block<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block is a mutable borrow of its own elements and of no others.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    /// The whole of a matrix of `columns` columns.
    pub(crate) fn new(values: &'a mut [f32], columns: usize) -> Self {
        // SAFETY: through a block, values are written and added to, never made uninitialised.
        let values = unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>]) };
        Self::unwritten(values, columns)
    }

    /// The whole of a matrix that is not initialised yet.
    pub(crate) fn unwritten(values: &'a mut [MaybeUninit<f32>], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns));
        let rows = values.len() / columns;
        let start = values.as_mut_ptr().cast();
        Self { start, rows, columns, stride: columns, matrix: PhantomData }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first `count` rows and the rest.
    pub(crate) fn split_rows(self, count: usize) -> (Self, Self) {
        assert!(count <= self.rows);
        // In wrapping arithmetic, because an empty rest may start past the end.
        let rest = self.start.wrapping_add(count * self.stride);
        let (rows, below) = (count, self.rows - count);
        (Self { rows, ..self }, Self { start: rest, rows: below, ..self })
    }

    /// The first `count` columns and the rest.
    pub(crate) fn split_columns(self, count: usize) -> (Self, Self) {
        assert!(count <= self.columns);
        let rest = self.start.wrapping_add(count);
        let (columns, right) = (count, self.columns - count);
        (Self { columns, ..self }, Self { start: rest, columns: right, ..self })
    }

    /// The `count` columns from `first` on, of all rows.
    pub(crate) fn columns_mut(&mut self, [first, count]: [usize; 2]) -> Block<'_> {
        assert!(first + count <= self.columns);
        let start = self.start.wrapping_add(first);
        Block { start, columns: count, matrix: PhantomData, ..*self }
    }

    /// Blocks of `width` columns from left to right, the last perhaps narrower.
    pub(crate) fn column_panels(self, width: usize) -> Vec<Self> {
        let mut panels = Vec::with_capacity(self.columns.div_ceil(width));
        let mut rest = self;
        while rest.columns > width {
            let (panel, right) = rest.split_columns(width);
            panels.push(panel);
            rest = right;
        }
        panels.push(rest);
        panels
    }

    /// Blocks of the given numbers of rows from top to bottom.
    pub(crate) fn row_bands(self, heights: impl IntoIterator<Item = usize>) -> Vec<Self> {
        let mut bands = Vec::new();
        let mut rest = self;
        for height in heights {
            let (band, below) = rest.split_rows(height);
            bands.push(band);
            rest = below;
        }
        bands
    }

    /// `step` blocks: every `step`-th row from the first on, from the second on and so forth.
    pub(crate) fn interleaved_rows(self, step: usize) -> Vec<Self> {
        let rows = |first: usize| (self.rows + step - 1 - first) / step;
        let of = |first| Self {
            start: self.start.wrapping_add(first * self.stride),
            rows: rows(first),
            stride: step * self.stride,
            ..self
        };
        (0..step).map(of).collect()
    }

    /// Prefetches the first cache lines of a row that will soon be written.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: usize) {
        prefetch(self.start.wrapping_add(row * self.stride));
    }

    /// Where (row, column) is, after checking that `len` elements from there are this block's, in
    /// that row and in every `step`-th row after it, `count` rows in all.
    #[inline(always)]
    pub(crate) fn pointer(
        &mut self,
        row: usize,
        count: usize,
        step: usize,
        column: usize,
        len: usize,
    ) -> *mut f32 {
        assert!(count > 0 && row + (count - 1) * step < self.rows && column + len <= self.columns);
        // SAFETY: inside the borrowed matrix, as just asserted.
        unsafe { self.start.add(row * self.stride + column) }
    }
}

/// Prefetches the two cache lines from an address on. It is a hint: any address will do.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch never faults, and SSE is part of x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
            _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(16).cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_matrix_once() {
        let mut values: Vec<f32> = vec![0.0; 5 * 7];
        let bands = Block::new(&mut values, 7).row_bands([2, 3]);
        let panels = bands.into_iter().flat_map(|band| band.column_panels(3));
        for (number, mut panel) in panels.enumerate() {
            for row in 0..panel.rows() {
                let width = panel.columns();
                let start = panel.pointer(row, 1, 1, 0, width);
                for column in 0..width {
                    // SAFETY: `pointer` has checked that the row has `width` elements.
                    unsafe { *start.add(column) += (number + 1) as f32 };
                }
            }
        }
        assert_eq!(values[..7], [1., 1., 1., 2., 2., 2., 3.]);
        assert_eq!(values[14..21], [4., 4., 4., 5., 5., 5., 6.]);
    }

    #[test]
    fn interleaved_rows_cover_the_matrix_once() {
        for (rows, step) in [(5, 2), (6, 3), (1, 4), (7, 1)] {
            let mut values: Vec<f32> = vec![0.0; rows * 3];
            for (number, mut part) in
                Block::new(&mut values, 3).interleaved_rows(step).into_iter().enumerate()
            {
                for row in 0..part.rows() {
                    // SAFETY: `pointer` has checked that the value is there.
                    unsafe { *part.pointer(row, 1, 1, 1, 1) += (number + 1) as f32 };
                }
            }
            for row in 0..rows {
                assert_eq!(values[row * 3..][..3], [0.0, (row % step + 1) as f32, 0.0]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_part_past_the_end_is_refused() {
        let mut values = vec![0.0; 6];
        let (mut left, _) = Block::new(&mut values, 3).split_columns(2);
        left.pointer(0, 1, 1, 1, 2);
    }
}
