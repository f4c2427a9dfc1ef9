//! Which algorithm computes which shape.

use std::mem::MaybeUninit;

use super::implicit;
use super::winograd::{self, Filters, Same3x3};
use crate::window::Window;

/// Sizes of a convolution on (B, H, W, from) with filters (K_h, K_w, from, to).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) window: Window,
}

impl Shape {
    /// The shape as Winograd's algorithm takes it, where that pays: with few channels transforming
    /// a tile costs as much as the products it saves.
    fn same3x3(&self) -> Option<Same3x3> {
        let Window { image: (height, width), kernel, stride, padding, .. } = self.window;
        let same = kernel == (3, 3) && stride == (1, 1) && padding == (1, 1);
        let pays = height >= 4 && width >= 4 && self.from >= 16 && self.to >= 16;
        (same && pays).then_some(Same3x3 {
            batch: self.batch,
            height,
            width,
            from: self.from,
            to: self.to,
        })
    }
}

/// y (B, H', W', to) of x and the filters; every value of `y` is written.
pub(crate) fn forward(shape: &Shape, x: &[f32], weight: &[f32], y: &mut [MaybeUninit<f32>]) {
    match shape.same3x3() {
        Some(same) => winograd::forward(&same, x, Filters::AsTheyAre(weight), y),
        None => implicit::forward(shape, x, weight, y),
    }
}

/// dx (B, H, W, from) of the filters and dy; every value of `dx` is written.
pub(crate) fn input_grad(shape: &Shape, weight: &[f32], grad: &[f32], dx: &mut [MaybeUninit<f32>]) {
    match shape.same3x3() {
        Some(same) => winograd::forward(&same.reversed(), grad, Filters::Turned(weight), dx),
        None => implicit::input_grad(shape, weight, grad, dx),
    }
}

/// dw (K_h, K_w, from, to) of x and dy; every value of `dw` is written.
pub(crate) fn weight_grad(shape: &Shape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    match shape.same3x3() {
        Some(same) => winograd::weight_grad(&same, x, grad, dw),
        None => implicit::weight_grad(shape, x, grad, dw),
    }
}

/// Writes a row-major matrix with so many columns transposed, in rows `stride` apart; the rest of
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
