//! log sum exp: the one place of the workspace that computes it.
//!
//! logsumexp(x) = m + log sum_i exp(x_i - m) with m = max_i x_i, so that nothing overflows. The
//! gradient is softmax(x): exp(x_i - m) / sum, computed again rather than kept. It is not
//! exp(x_i - logsumexp(x)), whose exponent has lost what rounding took from a large logsumexp.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{Element, check_dtype, dispatch, storage_of, tensor_of, values, written};
use crate::kernels::run;

const OP: &str = "log_sum_exp";

/// log sum exp over one dimension, which disappears.
///
/// Entries may be minus infinity where at least one other along `dim` is finite.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::log_sum_exp;
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1000f64, 1000.0], [-1000.0, f64::NEG_INFINITY]], &Device::Cpu)?;
/// assert_eq!(log_sum_exp(&x, 1)?.to_vec1::<f64>()?, [1000.0 + 2f64.ln(), -1000.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the dimension does not exist, or is empty.
pub fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let fast = x.device().is_cpu() && x.elem_count() > 0 && check_dtype(x, OP).is_ok();
    match (x.dims(), dim) {
        (&[_], 0) if fast => {
            x.unsqueeze(0)?.contiguous()?.apply_op1(LogSumExp::of(Lines::Rows))?.squeeze(0)
        }
        (&[_, _], 1) if fast => x.contiguous()?.apply_op1(LogSumExp::of(Lines::Rows)),
        (&[_, _], 0) if fast => x.contiguous()?.apply_op1(LogSumExp::of(Lines::Columns)),
        _ => {
            let max = x.max_keepdim(dim)?.detach();
            x.broadcast_sub(&max)?.exp()?.sum(dim)?.log()? + max.squeeze(dim)?
        }
    }
}

/// log sum exp over all entries: a scalar.
///
/// # Errors
/// When the tensor is empty.
pub fn log_sum_exp_all(x: &Tensor) -> Result<Tensor> {
    log_sum_exp(&x.flatten_all()?, 0)
}

/// Rows that one task takes. Sums within a task are in the element type, sums of tasks in f64.
const ROWS_AT_ONCE: usize = 256;

/// Which lines of a matrix disappear.
#[derive(Clone, Copy)]
enum Lines {
    Rows,
    Columns,
}

/// The largest entry of each line, and the sum of exponentials relative to it. In f64, which holds
/// both element types.
struct Parts {
    most: Vec<f64>,
    sum: Vec<f64>,
}

struct LogSumExp {
    lines: Lines,
    /// Kept from the forward pass for the backward one.
    parts: OnceLock<Parts>,
}

impl LogSumExp {
    fn of(lines: Lines) -> Self {
        Self { lines, parts: OnceLock::new() }
    }
}

impl CustomOp1 for LogSumExp {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let y = dispatch!(x, OP, |T| {
            let (y, parts) = forward::<T>(self.lines, values(x, layout, OP)?, columns);
            // The forward pass runs once.
            let _ = self.parts.set(parts);
            y
        });
        let len = match self.lines {
            Lines::Rows => rows,
            Lines::Columns => columns,
        };
        Ok((y, Shape::from(len)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Some(parts) = self.parts.get() else { bail!("{OP}: backward before forward") };
        let (x, grad) = (x.contiguous()?, grad.contiguous()?);
        let (_, columns) = x.dims2()?;
        let (x_guard, x_layout) = x.storage_and_layout();
        let (grad_guard, grad_layout) = grad.storage_and_layout();
        let (x_storage, grad_storage) = (storage_of(&x_guard, OP)?, storage_of(&grad_guard, OP)?);
        let dx = dispatch!(x_storage, OP, |T| {
            let x = values::<T>(x_storage, x_layout, OP)?;
            let grad = values::<T>(grad_storage, grad_layout, OP)?;
            backward(self.lines, x, parts, grad, columns)
        });
        tensor_of(dx, &x).map(Some)
    }
}

fn forward<T: Element>(lines: Lines, x: &[T], columns: usize) -> (Vec<T>, Parts) {
    let parts = match lines {
        Lines::Rows => of_rows(x, columns),
        Lines::Columns => of_columns(x, columns),
    };
    let line = |(sum, most): (&f64, &f64)| T::from_f64(sum.ln() + most);
    (parts.sum.iter().zip(&parts.most).map(line).collect(), parts)
}

fn backward<T: Element>(
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
        x.par_chunks(columns * ROWS_AT_ONCE).map(|x| run(Rows { x, columns })).collect();
    let (most, sum) = blocks.into_iter().flatten().unzip();
    Parts { most, sum }
}

fn of_columns<T: Element>(x: &[T], columns: usize) -> Parts {
    let blocks = || x.par_chunks(columns * ROWS_AT_ONCE);
    let most = |x| run(ColumnMax { x, columns });
    let maxima: Vec<Vec<T>> = blocks().map(most).collect();
    let mut most = maxima[0].clone();
    for other in &maxima[1..] {
        for (most, other) in most.iter_mut().zip(other) {
            *most = larger(*most, *other);
        }
    }
    let sum = |x| run(ColumnSums { x, columns, most: &most });
    let sums: Vec<Vec<T>> = blocks().map(sum).collect();
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

/// Entries of a row that are summed apart, so that they fill vectors.
const LANES: usize = 16;

/// The largest value of every row, and sum exp(x - it).
struct Rows<'a, T> {
    x: &'a [T],
    columns: usize,
}

impl<T: Element> WithSimd for Rows<'_, T> {
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
        outputs.zip(inputs).enumerate().for_each(|(block, (dx, x))| match lines {
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::gradient_error;

    fn random(shape: (usize, usize), scale: f64) -> Tensor {
        Tensor::randn(0.0, scale, shape, &Device::Cpu).unwrap()
    }

    /// The definition, in f64.
    fn plain(x: &Tensor, dim: usize) -> Vec<f64> {
        let x = if dim == 0 { x.t().unwrap() } else { x.clone() };
        let of = |row: &Vec<f64>| {
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most + row.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
        };
        x.to_vec2::<f64>().unwrap().iter().map(of).collect()
    }

    #[test]
    fn rows_and_columns_of_any_size_are_the_definition() {
        for shape in [(1, 1), (1, 40), (40, 1), (3, 17), (600, 33), (257, 309)] {
            for scale in [1.0, 100.0] {
                let x = random(shape, scale);
                let single = x.to_dtype(DType::F32).unwrap();
                for dim in [0, 1] {
                    let wanted = plain(&x, dim);
                    let exact = log_sum_exp(&x, dim).unwrap().to_vec1::<f64>().unwrap();
                    let fast = log_sum_exp(&single, dim).unwrap().to_vec1::<f32>().unwrap();
                    for ((wanted, exact), fast) in wanted.iter().zip(exact).zip(fast) {
                        let size = wanted.abs().max(1.0);
                        assert!((wanted - exact).abs() < 1e-12 * size, "{shape:?}, {dim}");
                        assert!((wanted - f64::from(fast)).abs() < 1e-6 * size, "{shape:?}, {dim}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences_and_softmax() {
        for dim in [0, 1] {
            let x = random((5, 7), 3.0);
            let weights = random((5, 7), 1.0).sum(dim).unwrap();
            let error = gradient_error(std::slice::from_ref(&x), |x| {
                Ok((log_sum_exp(&x[0], dim)? * &weights)?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-8, "dimension {dim}");
            let single = Var::from_tensor(&x.to_dtype(DType::F32).unwrap()).unwrap();
            let sum = log_sum_exp(&single, dim).unwrap().sum_all().unwrap();
            let fast = sum.backward().unwrap().remove(&single).unwrap();
            let double = Var::from_tensor(&x).unwrap();
            let sum = log_sum_exp(&double, dim).unwrap().sum_all().unwrap();
            let exact = sum.backward().unwrap().remove(&double).unwrap();
            let gap = (fast.to_dtype(DType::F64).unwrap() - exact).unwrap().abs().unwrap();
            assert!(gap.max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-6);
        }
    }

    #[test]
    fn entries_far_below_vanish_and_nan_stays() {
        let row = |values: &[f32]| {
            let x = Tensor::new(values, &Device::Cpu).unwrap();
            log_sum_exp(&x, 0).unwrap().to_scalar::<f32>().unwrap()
        };
        assert_eq!(row(&[1e30, 0.0, -1e30]), 1e30);
        assert_eq!(row(&[2.0, f32::NEG_INFINITY, -200.0]), 2.0);
        assert!(row(&[0.0, f32::NAN]).is_nan());
        let x = Tensor::new(&[[0f32, f32::NAN], [1.0, 2.0]], &Device::Cpu).unwrap();
        assert!(log_sum_exp(&x, 0).unwrap().to_vec1::<f32>().unwrap()[1].is_nan());
        assert!(log_sum_exp(&x, 1).unwrap().to_vec1::<f32>().unwrap()[0].is_nan());
    }
}
