//! Rows and columns exchanged, four by four where the processor can.

use crate::cpu::matmul::micro::PANEL;

/// `out[j * out_stride + i] = source[i * stride + j]` for `rows` x `columns` values.
///
/// # Panics
/// When a value lies past the end of its slice.
pub(crate) fn transpose(
    source: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    out: &mut [f32],
    out_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * stride + columns <= source.len());
    assert!((columns - 1) * out_stride + rows <= out.len());
    // Lines of the source stay in the cache while few columns are read of many rows.
    let (whole_rows, whole_columns) = (rows / 4 * 4, columns / 4 * 4);
    for first in (0..whole_columns).step_by(16) {
        for row in (0..whole_rows).step_by(4) {
            for column in (first..whole_columns.min(first + 16)).step_by(4) {
                four_by_four(
                    &source[row * stride + column..],
                    stride,
                    &mut out[column * out_stride + row..],
                    out_stride,
                );
            }
        }
    }
    let rest = (0..whole_rows).map(|row| (row, whole_columns));
    for (row, from) in rest.chain((whole_rows..rows).map(|row| (row, 0))) {
        for column in from..columns {
            out[column * out_stride + row] = source[row * stride + column];
        }
    }
}

/// The transpose of at most [`PANEL`] rows of `columns` values, as the right side of a product: a line of [`PANEL`] for
/// each column, filled up with zeros.
pub(crate) fn transposed_panel(source: &[f32], columns: usize, out: &mut [f32]) {
    let rows = source.len() / columns;
    transpose(source, columns, [rows, columns], out, PANEL);
    if rows < PANEL {
        out.chunks_exact_mut(PANEL).take(columns).for_each(|line| line[rows..].fill(0.0));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn four_by_four(source: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
    use std::arch::x86_64::{
        _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps,
    };
    assert!(3 * stride + 4 <= source.len() && 3 * out_stride + 4 <= out.len());
    // SAFETY: the four values of each of four rows are inside the slices, as just asserted, and SSE is part of
    // x86-64.
    unsafe {
        let row = |i: usize| _mm_loadu_ps(source.as_ptr().add(i * stride));
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        let columns = [
            _mm_movelh_ps(ab_low, cd_low),
            _mm_movehl_ps(cd_low, ab_low),
            _mm_movelh_ps(ab_high, cd_high),
            _mm_movehl_ps(cd_high, ab_high),
        ];
        for (j, column) in columns.into_iter().enumerate() {
            _mm_storeu_ps(out.as_mut_ptr().add(j * out_stride), column);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn four_by_four(source: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
    for i in 0..4 {
        for j in 0..4 {
            out[j * out_stride + i] = source[i * stride + j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_goes_to_its_place_and_no_other_is_touched() {
        for [rows, columns] in [[0, 3], [1, 1], [3, 5], [4, 4], [8, 19], [13, 40], [6, 16]] {
            let (stride, out_stride) = (columns + 2, rows + 3);
            let source: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            let mut out = vec![-1.0; columns * out_stride];
            transpose(&source, stride, [rows, columns], &mut out, out_stride);
            for j in 0..columns {
                for i in 0..out_stride {
                    let wanted = if i < rows { source[i * stride + j] } else { -1.0 };
                    assert_eq!(out[j * out_stride + i], wanted, "{rows} x {columns}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn a_source_that_is_too_short_is_refused() {
        transpose(&[0.0; 11], 4, [3, 4], &mut [0.0; 12], 3);
    }

    #[test]
    fn a_panel_is_filled_up_with_zeros() {
        for rows in [19, PANEL] {
            let source: Vec<f32> = (1..=rows * 37).map(|i| i as f32).collect();
            let mut out = vec![-1.0; 37 * PANEL];
            transposed_panel(&source, 37, &mut out);
            for (at, value) in out.iter().enumerate() {
                let (column, row) = (at / PANEL, at % PANEL);
                let wanted = if row < rows { source[row * 37 + column] } else { 0.0 };
                assert_eq!(*value, wanted);
            }
        }
    }
}
