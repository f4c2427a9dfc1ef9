//! Products of matrices whose rows are padded to whole panels: the layers of small networks.
//!
//! Rows are `padded(width)` floats apart, so that every product reads its right side in place. The numbers
//! past the width do not matter.

use pulp::Simd;

use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};

/// The distance between rows of `columns` columns.
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(PANEL)
}

/// Rows of a matrix, `stride` apart, of which the first `width` columns are used.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) width: usize,
}

impl<'a> Rows<'a> {
    /// `count` rows from `first` on.
    #[inline(always)]
    pub(crate) fn band(self, first: usize, count: usize) -> Self {
        Self { values: &self.values[first * self.stride..][..count * self.stride], ..self }
    }
}

/// `out` (rows x padded columns) becomes `left right`, the rows of `right` being `padded(columns)` apart.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    left: Rows<'_>,
    right: &[f32],
    stride: usize,
    out: &mut [f32],
) {
    let layout = Left::Rows { stride: left.stride };
    panels(simd, (left.values, layout, left.width), right, stride, (out, false));
}

/// Adds `left^T right` to `out` (left.width x stride), where both have `rows` rows.
#[inline(always)]
pub(crate) fn add_transposed<S: Simd>(
    simd: S,
    left: Rows<'_>,
    rows: usize,
    right: &[f32],
    stride: usize,
    out: &mut [f32],
) {
    let layout = Left::Columns { stride: left.stride };
    panels(simd, (left.values, layout, rows), right, stride, (out, true));
}

/// One product, panel after panel of the right side; `depth` is the length of the sums.
#[inline(always)]
fn panels<S: Simd>(
    simd: S,
    (a, left, depth): (&[f32], Left, usize),
    b: &[f32],
    b_stride: usize,
    (out, add): (&mut [f32], bool),
) {
    let segments = [Segment { a: 0, b: 0, len: depth }];
    let mut rest = Block::new(out, b_stride);
    let rows = rest.rows();
    let mut column = 0;
    while column < b_stride {
        let (mut panel, right) = rest.split_columns(PANEL);
        rest = right;
        let product = Product { a, left, b: &b[column..], b_stride, segments: &segments };
        micro::multiply(simd, product, Target { out: &mut panel, row: 0, step: 1, rows, add });
        column += PANEL;
    }
}

/// The sum of products of two rows of whole vectors.
#[inline(always)]
pub(crate) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, _) = S::as_simd_f32s(a);
    let (b, _) = S::as_simd_f32s(b);
    let mut sum = simd.splat_f32s(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = simd.mul_add_e_f32s(*a, *b, sum);
    }
    simd.reduce_sum_f32s(sum)
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::cpu::matmul::micro::tests::on_every_level;

    #[derive(Clone)]
    struct Job {
        rows: usize,
        depth: usize,
        columns: usize,
        left: Vec<f32>,
        right: Vec<f32>,
    }

    impl WithSimd for Job {
        type Output = (Vec<f32>, Vec<f32>, f32);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let stride = padded(self.columns);
            let left = Rows { values: &self.left, stride: self.depth + 2, width: self.depth };
            let mut plain = vec![7.0; self.rows * stride];
            multiply(simd, left, &self.right[..self.depth * stride], stride, &mut plain);
            let mut transposed = vec![1.0; self.depth * stride];
            let right = &self.right[..self.rows * stride];
            add_transposed(simd, left, self.rows, right, stride, &mut transposed);
            let sum = dot(simd, &right[..stride], &self.right[..stride]);
            (plain, transposed, sum)
        }
    }

    #[test]
    fn products_are_their_definition() {
        for (rows, depth, columns) in [(1, 1, 1), (5, 3, 64), (40, 33, 32), (17, 64, 40)] {
            let stride = padded(columns);
            let whole = |count: usize, step: usize| -> Vec<f32> {
                (0..count).map(|i| ((i * step + 3) % 11) as f32 - 5.0).collect()
            };
            let left = whole(rows * (depth + 2), 7);
            let right = whole(rows.max(depth) * stride, 5);
            let job = Job { rows, depth, columns, left: left.clone(), right: right.clone() };
            let at = |row: usize, column: usize| left[row * (depth + 2) + column];
            on_every_level(&job, |(plain, transposed, sum)| {
                for column in 0..stride {
                    for row in 0..rows {
                        let wanted: f32 =
                            (0..depth).map(|k| at(row, k) * right[k * stride + column]).sum();
                        assert_eq!(plain[row * stride + column], wanted);
                    }
                    for k in 0..depth {
                        let wanted: f32 =
                            (0..rows).map(|row| at(row, k) * right[row * stride + column]).sum();
                        assert_eq!(transposed[k * stride + column], 1.0 + wanted);
                    }
                }
                assert_eq!(sum, right[..stride].iter().map(|x| x * x).sum::<f32>());
            });
        }
    }
}
