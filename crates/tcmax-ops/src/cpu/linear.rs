//! The products of a linear layer, y = x W^T + b.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::matmul::dense::{self, Side};
use crate::cpu::matmul::plain::{self, Matrix};
use crate::tasks::Fork;

/// Sizes of a layer and of its input.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    /// Columns of the weight.
    pub(crate) stride: usize,
    /// Those that the input is multiplied with: as many as it has features.
    pub(crate) columns: Range<usize>,
}

impl Sizes {
    fn inputs(&self) -> usize {
        self.columns.len()
    }
}

/// x W^T + b, (rows, outputs), W being the columns of the weight.
pub(crate) fn forward<T: Dense>(of: &Sizes, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let weight = Given::columns(weight, of.stride, of.columns.clone());
    T::product(Given::new(x, of.inputs()), weight.transposed(), Some(bias))
}

/// The gradient of x, dy W.
pub(crate) fn input_gradient<T: Dense>(of: &Sizes, grad: &[T], weight: &[T]) -> Vec<T> {
    let weight = Given::columns(weight, of.stride, of.columns.clone());
    T::product(Given::new(grad, of.outputs), weight, None)
}

/// The gradient of W, dy^T x.
pub(crate) fn weight_gradient<T: Dense>(of: &Sizes, grad: &[T], x: &[T]) -> Vec<T> {
    T::product(Given::new(grad, of.outputs).transposed(), Given::new(x, of.inputs()), None)
}

/// The gradient of the bias: the sum of the rows, in bands that are added in order.
pub(crate) fn bias_gradient<T: Element>(of: &Sizes, grad: &[T]) -> Vec<T> {
    /// Rows of a band.
    const BAND: usize = 64;
    let bands: Vec<Vec<T>> = grad.par_chunks(of.outputs * BAND).gather(|band| {
        let mut sums = vec![T::zero(); of.outputs];
        for row in band.chunks_exact(of.outputs) {
            add(&mut sums, row);
        }
        sums
    });
    let mut sums = vec![T::zero(); of.outputs];
    bands.iter().for_each(|band| add(&mut sums, band));
    sums
}

fn add<T: Element>(sums: &mut [T], row: &[T]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += *value;
    }
}

/// Columns of a row-major matrix in a slice, or their transpose.
#[derive(Clone, Debug)]
pub(crate) struct Given<'a, T> {
    values: &'a [T],
    stride: usize,
    columns: Range<usize>,
    transposed: bool,
}

impl<'a, T> Given<'a, T> {
    fn new(values: &'a [T], columns: usize) -> Self {
        Self::columns(values, columns, 0..columns)
    }

    fn columns(values: &'a [T], stride: usize, columns: Range<usize>) -> Self {
        Self { values, stride, columns, transposed: false }
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
            let side = Side::new(given.values, given.stride, given.columns);
            if given.transposed { side.transposed() } else { side }
        }
        dense::multiply(side(left), side(right), bias)
    }
}

impl Dense for f64 {
    fn product(left: Given<'_, Self>, right: Given<'_, Self>, bias: Option<&[Self]>) -> Vec<Self> {
        fn matrix<'a>(given: &Given<'a, f64>) -> Matrix<'a, f64> {
            let rows = given.values.len() / given.stride;
            let values = &given.values[given.columns.start..];
            let matrix = Matrix::strided(values, rows, given.columns.len(), given.stride);
            if given.transposed { matrix.transposed() } else { matrix }
        }
        let (left, right) = (matrix(&left), matrix(&right));
        let (rows, columns) = (left.rows(), right.columns());
        let mut out = match bias {
            Some(bias) => bias.repeat(rows),
            None => vec![0.0; rows * columns],
        };
        plain::multiply(&mut out, left, right, true);
        out
    }
}
