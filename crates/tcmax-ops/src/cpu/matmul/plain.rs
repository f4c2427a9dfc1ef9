//! Matrix products on slices of f64, by the `gemm` crate: the plain way.

/// A matrix in a slice: element (row, column) at `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f64],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// A row-major matrix filling its slice.
    pub(crate) fn new(values: &'a [f64], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self { values, rows, columns, strides: [columns, 1] }
    }

    /// The same values, rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        let Self { values, rows, columns, .. } = self;
        Self { values, rows: columns, columns: rows, strides: [column, row] }
    }
}

/// `out` (row-major) becomes `left * right`, or has it added.
pub(crate) fn multiply(out: &mut [f64], left: Matrix<'_>, right: Matrix<'_>, add: bool) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows);
    assert_eq!(out.len(), m * n);
    // SAFETY: every index that gemm touches is row * stride + column * stride with row and column
    // below the dimensions asserted above and in `Matrix::new`, so inside the three slices; `out`
    // is borrowed mutably, so it overlaps neither input.
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
            1.0,
            1.0,
            false,
            false,
            false,
            // Threads work on images; a product inside one image stays on its thread, so results
            // do not depend on how many there are.
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
}
