//! Sums and products of two tensors of one shape, value by value, outside candle's graph.
//!
//! candle's own are computed by one thread.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, written};
use crate::tasks::Fork;

const OP: &str = "pairwise";

/// Values that a task combines.
const AT_ONCE: usize = 1 << 13;

/// a + b.
///
/// # Errors
/// When the shapes or element types differ.
pub(crate) fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.detach(), b.detach());
    if by_candle(&a, &b) { a + b } else { combined::<true>(&a, &b) }
}

/// a b.
///
/// # Errors
/// As [`sum`].
pub(crate) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.detach(), b.detach());
    if by_candle(&a, &b) { a * b } else { combined::<false>(&a, &b) }
}

/// Small tensors, and those that candle refuses with its own words.
fn by_candle(a: &Tensor, b: &Tensor) -> bool {
    a.elem_count() <= AT_ONCE
        || a.shape() != b.shape()
        || a.dtype() != b.dtype()
        || !a.device().is_cpu()
        || check_dtype(a, OP).is_err()
}

fn combined<const SUM: bool>(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let (left, right) = (open(&a, OP), open(&b, OP));
    let values = dispatch!(left.storage()?, OP, |T| {
        of_values::<T, SUM>(left.values::<T>()?, right.values::<T>()?)
    });
    tensor_of(values, &a)
}

fn of_values<T: Element, const SUM: bool>(a: &[T], b: &[T]) -> Vec<T> {
    let write = |y: &mut [MaybeUninit<T>]| {
        let pairs = a.par_chunks(AT_ONCE).zip(b.par_chunks(AT_ONCE));
        y.par_chunks_mut(AT_ONCE).zip(pairs).fork(|(y, (a, b))| run(Chunk::<T, SUM> { y, a, b }));
    };
    assert_eq!(a.len(), b.len());
    // SAFETY: both sides are as long as y, and every value of a chunk is written.
    unsafe { written(a.len(), write) }
}

struct Chunk<'a, T, const SUM: bool> {
    y: &'a mut [MaybeUninit<T>],
    a: &'a [T],
    b: &'a [T],
}

impl<T: Element, const SUM: bool> WithSimd for Chunk<'_, T, SUM> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, (a, b)) in self.y.iter_mut().zip(self.a.iter().zip(self.b)) {
            y.write(if SUM { *a + *b } else { *a * *b });
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::wide::to_vec_f64;

    #[test]
    fn values_are_those_of_candle() {
        for (rows, columns) in [(1, 3), (130, 127), (64, 1024)] {
            let a = Tensor::randn(0f32, 1f32, (rows, columns), &Device::Cpu).unwrap();
            let b = Tensor::randn(0f32, 1f32, (columns, rows), &Device::Cpu).unwrap().t().unwrap();
            let same = |ours: Tensor, candle: Tensor| {
                assert_eq!(to_vec_f64(&ours).unwrap(), to_vec_f64(&candle).unwrap());
            };
            same(sum(&a, &b).unwrap(), (&a + &b).unwrap());
            same(product(&a, &b).unwrap(), (&a * &b).unwrap());
        }
        let a = Tensor::zeros((200, 100), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(sum(&a, &a.t().unwrap()).is_err());
    }
}
