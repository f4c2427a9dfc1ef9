//! The passes of a layer normalisation of rows.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Rows of one task.
const ROWS_AT_ONCE: usize = 64;

/// Sums that are kept side by side, so that the compiler makes vectors of them.
const SIDE_BY_SIDE: usize = 16;

/// The sum of f of the values, side by side and then in order.
#[inline(always)]
fn sum_of<T: Element>(x: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; SIDE_BY_SIDE];
    let (chunks, rest) = x.as_chunks::<SIDE_BY_SIDE>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += f(value.to_f64());
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += f(value.to_f64());
    }
    sums.iter().sum()
}

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn moments<T: Element>(x: &[T], eps: f64) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = sum_of(x, |value| value) / count;
    let squares = sum_of(x, |value| (value - mean) * (value - mean));
    (mean, 1.0 / (squares / count + eps).sqrt())
}

/// sum h and sum h n, with h = g w and n the normalised row, side by side and then in order.
#[inline(always)]
fn sum_and_inner<T: Element>([x, grad, weight]: [&[T]; 3], mean: f64, inverse: f64) -> (f64, f64) {
    let (mut sums, mut inners) = ([0.0; SIDE_BY_SIDE], [0.0; SIDE_BY_SIDE]);
    let mut add = |place: usize, [x, grad, weight]: [T; 3]| {
        let h = grad.to_f64() * weight.to_f64();
        sums[place] += h;
        inners[place] += h * ((x.to_f64() - mean) * inverse);
    };
    let [(x, x_rest), (grad, grad_rest), (weight, weight_rest)] =
        [x, grad, weight].map(|values| values.as_chunks::<SIDE_BY_SIDE>());
    for ((x, grad), weight) in x.iter().zip(grad).zip(weight) {
        for place in 0..SIDE_BY_SIDE {
            add(place, [x[place], grad[place], weight[place]]);
        }
    }
    for (place, ((x, grad), weight)) in x_rest.iter().zip(grad_rest).zip(weight_rest).enumerate() {
        add(place, [*x, *grad, *weight]);
    }
    (sums.iter().sum(), inners.iter().sum())
}

/// The normalised rows.
pub(crate) fn forward<T: Element>(x: &[T], weight: &[T], bias: &[T], eps: f64) -> Vec<T> {
    let write = |y: &mut [MaybeUninit<T>]| {
        let band = weight.len() * ROWS_AT_ONCE;
        y.par_chunks_mut(band).zip(x.par_chunks(band)).fork(|(y, x)| {
            run(Forward { x, weight, bias, eps, y });
        });
    };
    // SAFETY: x is whole rows, and every value of a row is written.
    unsafe { written(x.len(), write) }
}

/// The gradient of x, and those of weight and bias. Bands of rows are summed in order.
pub(crate) fn backward<T: Element>(
    x: &[T],
    weight: &[T],
    grad: &[T],
    eps: f64,
) -> (Vec<T>, [Vec<f64>; 2]) {
    let len = weight.len();
    let mut sums = [vec![0.0; len], vec![0.0; len]];
    let write = |dx: &mut [MaybeUninit<T>]| {
        let band = len * ROWS_AT_ONCE;
        let inputs = x.par_chunks(band).zip(grad.par_chunks(band));
        let bands: Vec<[Vec<f64>; 2]> = dx
            .par_chunks_mut(band)
            .zip(inputs)
            .gather(|(dx, (x, grad))| run(Backward { x, weight, grad, eps, dx }));
        for band in bands {
            for (totals, band) in sums.iter_mut().zip(band) {
                for (total, value) in totals.iter_mut().zip(band) {
                    *total += value;
                }
            }
        }
    };
    // SAFETY: x is whole rows, and every value of a row is written.
    let dx = unsafe { written(x.len(), write) };
    (dx, sums)
}

struct Forward<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    eps: f64,
    y: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, weight, bias, eps, y } = self;
        let len = weight.len();
        assert!(x.len() == y.len() && bias.len() == len);
        for (y, x) in y.chunks_exact_mut(len).zip(x.chunks_exact(len)) {
            let (mean, inverse) = moments(x, eps);
            let (mean, inverse) = (T::from_f64(mean), T::from_f64(inverse));
            for ((y, x), (weight, bias)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                y.write((*x - mean) * inverse * *weight + *bias);
            }
        }
    }
}

/// With n the normalised row and h = g w: dx = (h - mean h - n mean(h n)) / std, dw = sum g n,
/// db = sum g.
struct Backward<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    grad: &'a [T],
    eps: f64,
    dx: &'a mut [MaybeUninit<T>],
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Vec<f64>; 2] {
        let Self { x, weight, grad, eps, dx } = self;
        let len = weight.len();
        assert!(x.len() == dx.len() && grad.len() == dx.len());
        let (mut dw, mut db) = (vec![0.0; len], vec![0.0; len]);
        let rows = x.chunks_exact(len).zip(grad.chunks_exact(len));
        for (dx, (x, grad)) in dx.chunks_exact_mut(len).zip(rows) {
            let (mean, inverse) = moments(x, eps);
            for ((x, grad), (dw, db)) in x.iter().zip(grad).zip(dw.iter_mut().zip(&mut db)) {
                let g = grad.to_f64();
                *dw += g * ((x.to_f64() - mean) * inverse);
                *db += g;
            }
            let (sum, inner) = sum_and_inner([x, grad, weight], mean, inverse);
            let (sum, inner) = (sum / len as f64, inner / len as f64);
            for ((dx, x), (grad, weight)) in dx.iter_mut().zip(x).zip(grad.iter().zip(weight)) {
                let normal = (x.to_f64() - mean) * inverse;
                let h = grad.to_f64() * weight.to_f64();
                dx.write(T::from_f64((h - sum - normal * inner) * inverse));
            }
        }
        [dw, db]
    }
}
