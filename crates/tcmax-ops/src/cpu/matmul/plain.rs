//! Matrix products on slices by the `gemm` crate: of strided matrices, on the caller's thread.

use crate::cpu::element::Element;

/// A matrix in a slice: element (row, column) at `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T: Element> Matrix<'a, T> {
    /// A row-major matrix filling its slice.
    pub(crate) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self { values, rows, columns, strides: [columns, 1] }
    }

    /// Rows that begin `stride` apart.
    pub(crate) fn strided(values: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows > 0 && columns <= stride && (rows - 1) * stride + columns <= values.len());
        Self { values, rows, columns, strides: [stride, 1] }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The same values, rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        let Self { values, rows, columns, .. } = self;
        Self { values, rows: columns, columns: rows, strides: [column, row] }
    }
}

/// `out` (row-major) becomes `left * right`, or has it added.
pub(crate) fn multiply<T: Element>(
    out: &mut [T],
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows);
    assert_eq!(out.len(), m * n);
    // SAFETY: every index that gemm touches is row * stride + column * stride with row and column
    // below the dimensions asserted above and in the constructors, so inside the three slices; `out`
    // is borrowed mutably, so it overlaps neither input. f32 and f64, all that `Element` is, are types
    // that gemm multiplies.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            left.values.as_ptr(),
            left.strides[1] as isize,
            left.strides[0] as isize,
            right.values.as_ptr(),
            right.strides[1] as isize,
            right.strides[0] as isize,
            T::from_f64(1.0),
            T::from_f64(1.0),
            false,
            false,
            false,
            // Threads work on images, heads or bands of rows; a product inside one stays on its thread,
            // so results do not depend on how many there are.
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_plain_and_transposed_matrices() {
        let a = [1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0f64, 0.0, 0.0, 1.0, 1.0, 1.0];
        let mut out = [0.0; 4];
        multiply(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), false);
        assert_eq!(out, [4.0, 5.0, 10.0, 11.0]);
        multiply(&mut out, Matrix::new(&a, 3, 2).transposed(), Matrix::new(&b, 3, 2), true);
        assert_eq!(out, [4.0 + 6.0, 5.0 + 8.0, 10.0 + 8.0, 11.0 + 10.0]);
    }

    #[test]
    fn a_strided_matrix_is_read_row_by_row() {
        let a = [1.0f32, 2.0, 9.0, 3.0, 4.0];
        let mut out = [0.0f32; 4];
        let unit = [1.0f32, 0.0, 0.0, 1.0];
        multiply(&mut out, Matrix::strided(&a, 2, 2, 3), Matrix::new(&unit, 2, 2), false);
        assert_eq!(out, [1.0, 2.0, 3.0, 4.0]);
    }
}
