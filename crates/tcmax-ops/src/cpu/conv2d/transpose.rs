//! Transposed copies of matrices.

/// Writes the transpose of a row-major matrix of `columns` columns, in rows `stride` apart; the rest of
/// each row becomes 0.
pub(super) fn transpose_into(matrix: &[f32], columns: usize, out: &mut [f32], stride: usize) {
    let rows = matrix.len() / columns;
    for (column, line) in out.chunks_exact_mut(stride).enumerate().take(columns) {
        let (line, rest) = line.split_at_mut(rows);
        // A few dozen rows at most: the lines they begin in stay in the cache.
        for (value, source) in line.iter_mut().zip(matrix[column..].iter().step_by(columns)) {
            *value = *source;
        }
        rest.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_exchanges_rows_and_columns() {
        let (rows, columns) = (19, 37);
        let matrix: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let stride = 24;
        let mut out = vec![1.0; columns * stride];
        transpose_into(&matrix, columns, &mut out, stride);
        for (row, column) in [(0, 0), (18, 36), (7, 20), (17, 1)] {
            assert_eq!(out[column * stride + row], matrix[row * columns + column]);
        }
        assert_eq!(out[rows..stride], [0.0; 5]);
    }
}
