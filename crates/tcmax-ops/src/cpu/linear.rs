//! The products of a linear layer, y = x W^T + b.

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::matmul::dense::{self, Side};
use crate::cpu::matmul::plain::{self, Matrix};

/// Sizes of a layer and of its input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// x W^T + b, (rows, outputs).
pub(crate) fn forward<T: Dense>(of: Sizes, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    T::product(Given::new(x, of.inputs), Given::new(weight, of.inputs).transposed(), Some(bias))
}

/// The gradient of x, dy W.
pub(crate) fn input_gradient<T: Dense>(of: Sizes, grad: &[T], weight: &[T]) -> Vec<T> {
    T::product(Given::new(grad, of.outputs), Given::new(weight, of.inputs), None)
}

/// The gradient of the weight, dy^T x.
pub(crate) fn weight_gradient<T: Dense>(of: Sizes, grad: &[T], x: &[T]) -> Vec<T> {
    T::product(Given::new(grad, of.outputs).transposed(), Given::new(x, of.inputs), None)
}

/// The gradient of the bias: the sum of the rows, in bands that are added in order.
pub(crate) fn bias_gradient<T: Element>(of: Sizes, grad: &[T]) -> Vec<T> {
    /// Rows of a band.
    const BAND: usize = 64;
    let bands: Vec<Vec<T>> = grad
        .par_chunks(of.outputs * BAND)
        .map(|band| {
            let mut sums = vec![T::zero(); of.outputs];
            for row in band.chunks_exact(of.outputs) {
                add(&mut sums, row);
            }
            sums
        })
        .collect();
    let mut sums = vec![T::zero(); of.outputs];
    bands.iter().for_each(|band| add(&mut sums, band));
    sums
}

fn add<T: Element>(sums: &mut [T], row: &[T]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += *value;
    }
}

/// A row-major matrix in a slice, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, T> {
    values: &'a [T],
    columns: usize,
    transposed: bool,
}

impl<'a, T> Given<'a, T> {
    fn new(values: &'a [T], columns: usize) -> Self {
        Self { values, columns, transposed: false }
    }

    fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }
}

/// The products of large matrices: of f32 by the kernel, of f64 by the `gemm` crate.
pub(crate) trait Dense: Element {
    /// The product of two matrices, with the bias added to every row.
    fn product(left: Given<'_, Self>, right: Given<'_, Self>, bias: Option<&[Self]>) -> Vec<Self>;
}

impl Dense for f32 {
    fn product(left: Given<'_, Self>, right: Given<'_, Self>, bias: Option<&[Self]>) -> Vec<Self> {
        fn side(given: Given<'_, f32>) -> Side<'_> {
            let side = Side::new(given.values, given.columns);
            if given.transposed { side.transposed() } else { side }
        }
        dense::multiply(side(left), side(right), bias)
    }
}

impl Dense for f64 {
    fn product(left: Given<'_, Self>, right: Given<'_, Self>, bias: Option<&[Self]>) -> Vec<Self> {
        fn matrix(given: Given<'_, f64>) -> Matrix<'_, f64> {
            let rows = given.values.len() / given.columns;
            let matrix = Matrix::new(given.values, rows, given.columns);
            if given.transposed { matrix.transposed() } else { matrix }
        }
        let (left, right) = (matrix(left), matrix(right));
        let (rows, columns) = (left.rows(), right.columns());
        let mut out = match bias {
            Some(bias) => bias.repeat(rows),
            None => vec![0.0; rows * columns],
        };
        plain::multiply(&mut out, left, right, true);
        out
    }
}
