//! The passes of a softmax of rows.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Rows of one task.
const ROWS_AT_ONCE: usize = 64;

/// The softmax of rows of `len` values.
pub(crate) fn forward<T: Element>(x: &[T], len: usize) -> Vec<T> {
    let write = |y: &mut [MaybeUninit<T>]| {
        let band = len * ROWS_AT_ONCE;
        y.par_chunks_mut(band).zip(x.par_chunks(band)).fork(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
                forward_row(x, y);
            }
        });
    };
    // SAFETY: x is whole rows, and every value of a row is written.
    unsafe { written(x.len(), write) }
}

fn forward_row<T: Element>(x: &[T], y: &mut [MaybeUninit<T>]) {
    let most = x.iter().fold(x[0], |most, value| if *value > most { *value } else { most });
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        let value = (*x - most).exponential();
        sum += value.to_f64();
        y.write(value);
    }
    let inverse = T::from_f64(1.0 / sum);
    for y in y {
        // SAFETY: written just above.
        let value = unsafe { y.assume_init_mut() };
        *value *= inverse;
    }
}

/// The gradient of the input, y (g - sum_j g_j y_j), from the softmax and its gradient.
pub(crate) fn backward<T: Element>(y: &[T], grad: &[T], len: usize) -> Vec<T> {
    let write = |dx: &mut [MaybeUninit<T>]| {
        let band = len * ROWS_AT_ONCE;
        let inputs = y.par_chunks(band).zip(grad.par_chunks(band));
        dx.par_chunks_mut(band).zip(inputs).fork(|(dx, (y, grad))| {
            run(Backward { y, grad, len, dx });
        });
    };
    // SAFETY: y is whole rows, and every value of a row is written.
    unsafe { written(y.len(), write) }
}

struct Backward<'a, T> {
    y: &'a [T],
    grad: &'a [T],
    len: usize,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { y, grad, len, dx } = self;
        assert!(y.len() == dx.len() && grad.len() == dx.len());
        let rows = y.chunks_exact(len).zip(grad.chunks_exact(len));
        for (dx, (y, grad)) in dx.chunks_exact_mut(len).zip(rows) {
            let mut inner = 0.0;
            for (y, grad) in y.iter().zip(grad) {
                inner += y.to_f64() * grad.to_f64();
            }
            let inner = T::from_f64(inner);
            for (dx, (y, grad)) in dx.iter_mut().zip(y.iter().zip(grad)) {
                dx.write(*y * (*grad - inner));
            }
        }
    }
}
