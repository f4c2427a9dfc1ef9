//! The passes of a log-sum-exp over the rows or the columns of a matrix.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Rows of one task. Sums within a task are in the element type, sums of tasks in f64.
const ROWS_AT_ONCE: usize = 256;

/// Which lines of a matrix disappear.
#[derive(Clone, Copy)]
pub(crate) enum Lines {
    Rows,
    Columns,
}

/// The largest entry of each line, and the sum of exponentials relative to it. In f64, which holds
/// both element types.
pub(crate) struct Parts {
    pub(crate) most: Vec<f64>,
    pub(crate) sum: Vec<f64>,
}

impl Parts {
    /// log sum exp of each line.
    pub(crate) fn values<T: Element>(&self) -> Vec<T> {
        let line = |(sum, most): (&f64, &f64)| T::from_f64(sum.ln() + most);
        self.sum.iter().zip(&self.most).map(line).collect()
    }
}

/// The values, and what the backward pass needs again.
pub(crate) fn forward<T: Element>(lines: Lines, x: &[T], columns: usize) -> (Vec<T>, Parts) {
    let parts = match lines {
        Lines::Rows => of_rows(x, columns),
        Lines::Columns => of_columns(x, columns),
    };
    (parts.values(), parts)
}

/// The gradient of the matrix from that of the values.
pub(crate) fn backward<T: Element>(
    lines: Lines,
    x: &[T],
    parts: &Parts,
    grad: &[T],
    columns: usize,
) -> Vec<T> {
    let most: Vec<T> = parts.most.iter().map(|&most| T::from_f64(most)).collect();
    let share = |(grad, sum): (&T, &f64)| T::from_f64(grad.to_f64() / sum);
    let scale: Vec<T> = grad.iter().zip(&parts.sum).map(share).collect();
    gradient(lines, x, &most, &scale, columns)
}

fn of_rows<T: Element>(x: &[T], columns: usize) -> Parts {
    let blocks: Vec<Vec<(f64, f64)>> =
        x.par_chunks(columns * ROWS_AT_ONCE).gather(|x| run(RowSums { x, columns }));
    let (most, sum) = blocks.into_iter().flatten().unzip();
    Parts { most, sum }
}

/// The largest entry of every column.
pub(crate) fn column_maxima<T: Element>(x: &[T], columns: usize) -> Vec<T> {
    let most = |x| run(ColumnMax { x, columns });
    let maxima: Vec<Vec<T>> = x.par_chunks(columns * ROWS_AT_ONCE).gather(most);
    let mut most = maxima[0].clone();
    for other in &maxima[1..] {
        for (most, other) in most.iter_mut().zip(other) {
            *most = larger(*most, *other);
        }
    }
    most
}

fn of_columns<T: Element>(x: &[T], columns: usize) -> Parts {
    let blocks = || x.par_chunks(columns * ROWS_AT_ONCE);
    let most = column_maxima(x, columns);
    let sum = |x| run(ColumnSums { x, columns, most: &most });
    let sums: Vec<Vec<T>> = blocks().gather(sum);
    let sum = |c: usize| sums.iter().map(|block| block[c].to_f64()).sum();
    Parts {
        sum: (0..columns).map(sum).collect(),
        most: most.iter().map(|most| most.to_f64()).collect(),
    }
}

#[inline(always)]
fn larger<T: Element>(a: T, b: T) -> T {
    if b > a { b } else { a }
}

/// The largest value of every column.
struct ColumnMax<'a, T> {
    x: &'a [T],
    columns: usize,
}

impl<T: Element> WithSimd for ColumnMax<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let mut most = self.x[..self.columns].to_vec();
        for row in self.x.chunks_exact(self.columns) {
            for (most, x) in most.iter_mut().zip(row) {
                *most = larger(*most, *x);
            }
        }
        most
    }
}

/// sum exp(x - most) of every column.
struct ColumnSums<'a, T> {
    x: &'a [T],
    columns: usize,
    most: &'a [T],
}

impl<T: Element> WithSimd for ColumnSums<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let mut sums = vec![T::zero(); self.columns];
        for row in self.x.chunks_exact(self.columns) {
            for (sum, (x, most)) in sums.iter_mut().zip(row.iter().zip(self.most)) {
                *sum += (*x - *most).exp_of_at_most_zero();
            }
        }
        sums
    }
}

/// Sums of a row that are kept apart, so that they fill vectors.
const LANES: usize = 16;

/// The largest value of every row, and the sum of exp(x - that value).
struct RowSums<'a, T> {
    x: &'a [T],
    columns: usize,
}

impl<T: Element> WithSimd for RowSums<'_, T> {
    type Output = Vec<(f64, f64)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<(f64, f64)> {
        let mut rows = Vec::with_capacity(self.x.len() / self.columns);
        for row in self.x.chunks_exact(self.columns) {
            let most = row_max(row);
            let mut sums = [T::zero(); LANES];
            let whole = row.len() / LANES * LANES;
            for part in row[..whole].chunks_exact(LANES) {
                for (sum, x) in sums.iter_mut().zip(part) {
                    *sum += (*x - most).exp_of_at_most_zero();
                }
            }
            for (sum, x) in sums.iter_mut().zip(&row[whole..]) {
                *sum += (*x - most).exp_of_at_most_zero();
            }
            let mut total = 0.0;
            for sum in sums {
                total += sum.to_f64();
            }
            rows.push((most.to_f64(), total));
        }
        rows
    }
}

#[inline(always)]
fn row_max<T: Element>(row: &[T]) -> T {
    let mut lanes = [row[0]; LANES];
    let whole = row.len() / LANES * LANES;
    for part in row[..whole].chunks_exact(LANES) {
        for (most, x) in lanes.iter_mut().zip(part) {
            *most = larger(*most, *x);
        }
    }
    let mut most = lanes[0];
    for other in lanes.iter().chain(&row[whole..]) {
        most = larger(most, *other);
    }
    most
}

/// scale exp(x - most), with both of the entry's row or column.
fn gradient<T: Element>(lines: Lines, x: &[T], most: &[T], scale: &[T], columns: usize) -> Vec<T> {
    let write = |dx: &mut [MaybeUninit<T>]| {
        let inputs = x.par_chunks(columns * ROWS_AT_ONCE);
        let outputs = dx.par_chunks_mut(columns * ROWS_AT_ONCE);
        outputs.zip(inputs).enumerate().fork(|(block, (dx, x))| match lines {
            Lines::Columns => run(ColumnGradient { x, most, scale, columns, dx }),
            Lines::Rows => {
                let rows = block * ROWS_AT_ONCE..block * ROWS_AT_ONCE + x.len() / columns;
                let (most, scale) = (&most[rows.clone()], &scale[rows]);
                run(RowGradient { x, most, scale, columns, dx });
            }
        });
    };
    // SAFETY: x is whole rows, and every value of a row is written.
    unsafe { written(x.len(), write) }
}

struct ColumnGradient<'a, T> {
    x: &'a [T],
    most: &'a [T],
    scale: &'a [T],
    columns: usize,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for ColumnGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, most, scale, columns, dx } = self;
        for (dx, x) in dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns)) {
            let of_column = most.iter().zip(scale);
            for ((dx, x), (most, scale)) in dx.iter_mut().zip(x).zip(of_column) {
                dx.write(*scale * (*x - *most).exp_of_at_most_zero());
            }
        }
    }
}

struct RowGradient<'a, T> {
    x: &'a [T],
    most: &'a [T],
    scale: &'a [T],
    columns: usize,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for RowGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, most, scale, columns, dx } = self;
        let rows = dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
        for ((dx, x), (most, scale)) in rows.zip(most.iter().zip(scale)) {
            for (dx, x) in dx.iter_mut().zip(x) {
                dx.write(*scale * (*x - *most).exp_of_at_most_zero());
            }
        }
    }
}
