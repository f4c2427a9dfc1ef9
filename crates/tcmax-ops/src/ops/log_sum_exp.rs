//! log sum exp: nothing else in the workspace computes it.
//!
//! logsumexp(x) = m + log sum_i exp(x_i - m) with m = max_i x_i, so that nothing overflows. The
//! gradient is softmax(x), exp(x_i - m) / sum, computed again rather than stored. It is not computed as
//! exp(x_i - logsumexp(x)), because a large logsumexp is rounded, and the exponent with it.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor, bail};
use tcmax_parallel::{Group, Purpose};

use crate::cpu::element::Element;
use crate::cpu::log_sum_exp::{Lines, Parts, backward, forward};
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, values};
use crate::device;
use crate::reading::seen;

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
    let x = &seen(x);
    let fast = x.device().is_cpu() && x.elem_count() > 0 && check_dtype(x, OP).is_ok();
    match (x.dims(), dim) {
        (&[_], 0) if fast => {
            x.unsqueeze(0)?.contiguous()?.apply_op1(LogSumExp::of(Lines::Rows))?.squeeze(0)
        }
        (&[_, _], 1) if fast => x.contiguous()?.apply_op1(LogSumExp::of(Lines::Rows)),
        (&[_, _], 0) if fast => x.contiguous()?.apply_op1(LogSumExp::of(Lines::Columns)),
        _ => device::log_sum_exp(x, dim),
    }
}

/// log sum exp over all entries: a scalar.
///
/// # Errors
/// When the tensor is empty.
pub fn log_sum_exp_all(x: &Tensor) -> Result<Tensor> {
    log_sum_exp(&x.flatten_all()?, 0)
}

/// log sum exp over the rows of all members' matrices (N_r, C): shape (C,), alike on every member.
///
/// Each member gives 2 C numbers, the largest entry of each column and the sum relative to it. The loss of the batch is
/// the sum of the members' losses, into which the value goes alike on every member: the gradient is that of this
/// sum, so it is as many times as large as there are members, and nothing is exchanged for it.
///
/// # Errors
/// When there are no rows, or they cannot be exchanged.
pub fn log_sum_exp_over(x: &Tensor, group: &Arc<dyn Group>) -> Result<Tensor> {
    if group.size() == 1 {
        return log_sum_exp(x, 0);
    }
    check_dtype(x, OP)?;
    let (rows, columns) = x.dims2()?;
    if rows * columns == 0 {
        bail!("{OP}: a member has a matrix of shape {:?}", x.dims());
    }
    let on_host = x.to_device(&Device::Cpu)?.contiguous()?;
    let op = LogSumExp { group: Some(group.clone()), ..LogSumExp::of(Lines::Columns) };
    on_host.apply_op1(op)?.to_device(x.device())
}

/// The parts of all members' columns.
fn parts_of_all<T: Element>(own: &Parts, group: &dyn Group) -> Result<Parts> {
    let numbers = own.most.iter().chain(&own.sum).map(|number| T::from_f64(*number));
    let all = group.all_gather(&to_bytes(numbers), Purpose::Loss).map_err(Error::wrap)?;
    let columns = own.most.len();
    let mut total = Parts { most: vec![f64::NEG_INFINITY; columns], sum: vec![0.0; columns] };
    let all: Vec<Vec<f64>> = all.iter().map(|bytes| from_bytes::<T>(bytes)).collect();
    if all.iter().any(|numbers| numbers.len() != 2 * columns) {
        bail!("{OP}: members have other columns");
    }
    for column in 0..columns {
        let pairs = || all.iter().map(|numbers| (numbers[column], numbers[columns + column]));
        let most = pairs().map(|(most, _)| most).fold(f64::NEG_INFINITY, f64::max);
        // Where all of a member's entries are minus infinity, its sum is not a number, and adds nothing.
        let terms = pairs().filter(|(own, _)| *own != f64::NEG_INFINITY);
        total.sum[column] = terms.map(|(own, sum)| sum * (own - most).exp()).sum();
        total.most[column] = most;
    }
    Ok(total)
}

fn to_bytes<T: Element>(numbers: impl Iterator<Item = T>) -> Vec<u8> {
    let is_single = T::DTYPE.size_in_bytes() == size_of::<f32>();
    let bytes = |number: T| match is_single {
        true => (number.to_f64() as f32).to_le_bytes().to_vec(),
        false => number.to_f64().to_le_bytes().to_vec(),
    };
    numbers.flat_map(bytes).collect()
}

fn from_bytes<T: Element>(bytes: &[u8]) -> Vec<f64> {
    if T::DTYPE.size_in_bytes() == size_of::<f32>() {
        let (numbers, _) = bytes.as_chunks::<4>();
        numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    } else {
        let (numbers, _) = bytes.as_chunks::<8>();
        numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }
}

struct LogSumExp {
    lines: Lines,
    /// The members whose columns are continued by one another; absent: there are no others.
    group: Option<Arc<dyn Group>>,
    /// Kept from the forward pass for the backward one.
    parts: OnceLock<Parts>,
}

impl LogSumExp {
    fn of(lines: Lines) -> Self {
        Self { lines, group: None, parts: OnceLock::new() }
    }
}

impl CustomOp1 for LogSumExp {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let y = dispatch!(x, OP, |T| {
            let (mut y, mut parts) = forward::<T>(self.lines, values(x, layout, OP)?, columns);
            if let Some(group) = &self.group {
                parts = parts_of_all::<T>(&parts, group.as_ref())?;
                y = parts.values();
            }
            // Set once, because an operation is applied once.
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
        let members = self.group.as_ref().map_or(1, |group| group.size());
        let grad = if members == 1 { grad.clone() } else { (grad * members as f64)? };
        let (x, grad) = (x.contiguous()?, grad.contiguous()?);
        let (_, columns) = x.dims2()?;
        let (opened, grad) = (open(&x, OP), open(&grad, OP));
        let dx = dispatch!(opened.storage()?, OP, |T| {
            backward::<T>(self.lines, opened.values()?, parts, grad.values()?, columns)
        });
        tensor_of(dx, &x).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::training::gradcheck::gradient_error;

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
