//! Gaussian error linear units of values.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::activation::Gelu;
use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Values of one task.
const AT_ONCE: usize = 16_384;

/// sqrt(2 / pi), doubled: (1 + tanh a) / 2 is the logistic function of 2 a.
const TANH_SCALE: f64 = 1.595_769_121_605_730_7;
const TANH_CUBIC: f64 = 0.044_715;
const QUICK_SCALE: f64 = 1.702;
/// 1 / sqrt(2 pi).
const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;

/// The unit of every value.
pub(crate) fn forward<T: Element>(x: &[T], form: Gelu) -> Vec<T> {
    let write = |y: &mut [MaybeUninit<T>]| {
        y.par_chunks_mut(AT_ONCE).zip(x.par_chunks(AT_ONCE)).fork(|(y, x)| {
            run(Map { y, x, grad: None, form });
        });
    };
    // SAFETY: `Map` writes every value of a chunk.
    unsafe { written(x.len(), write) }
}

/// The unit of every value, and its derivative.
pub(crate) fn with_slope<T: Element>(x: &[T], form: Gelu) -> [Vec<T>; 2] {
    let mut slopes = Vec::new();
    let write = |y: &mut [MaybeUninit<T>]| {
        let write = |slopes: &mut [MaybeUninit<T>]| {
            let results = y.par_chunks_mut(AT_ONCE).zip(slopes.par_chunks_mut(AT_ONCE));
            results.zip(x.par_chunks(AT_ONCE)).fork(|((y, slope), x)| {
                run(Both { y, slope, x, form });
            });
        };
        // SAFETY: `Both` writes both values of a chunk.
        slopes = unsafe { written(x.len(), write) };
    };
    // SAFETY: as above.
    let y = unsafe { written(x.len(), write) };
    [y, slopes]
}

/// The gradient of the input.
pub(crate) fn backward<T: Element>(x: &[T], grad: &[T], form: Gelu) -> Vec<T> {
    assert_eq!(x.len(), grad.len());
    let write = |dx: &mut [MaybeUninit<T>]| {
        let inputs = x.par_chunks(AT_ONCE).zip(grad.par_chunks(AT_ONCE));
        dx.par_chunks_mut(AT_ONCE).zip(inputs).fork(|(y, (x, grad))| {
            run(Map { y, x, grad: Some(grad), form });
        });
    };
    // SAFETY: `Map` writes every value of a chunk.
    unsafe { written(x.len(), write) }
}

/// Values, or with a gradient the gradients, of one chunk.
struct Map<'a, T> {
    y: &'a mut [MaybeUninit<T>],
    x: &'a [T],
    grad: Option<&'a [T]>,
    form: Gelu,
}

impl<T: Element> WithSimd for Map<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.form {
            Gelu::Exact => self.by(exact),
            Gelu::Tanh => self.by(tanh),
            Gelu::Quick => self.by(quick),
        }
    }
}

impl<T: Element> Map<'_, T> {
    #[inline(always)]
    fn by(self, unit: impl Fn(T) -> [T; 2]) {
        let Self { y, x, grad, .. } = self;
        assert_eq!(x.len(), y.len());
        match grad {
            None => {
                for (y, x) in y.iter_mut().zip(x) {
                    y.write(unit(*x)[0]);
                }
            }
            Some(grad) => {
                for ((y, x), grad) in y.iter_mut().zip(x).zip(grad) {
                    y.write(unit(*x)[1] * *grad);
                }
            }
        }
    }
}

/// Values and their derivatives of one chunk.
struct Both<'a, T> {
    y: &'a mut [MaybeUninit<T>],
    slope: &'a mut [MaybeUninit<T>],
    x: &'a [T],
    form: Gelu,
}

impl<T: Element> WithSimd for Both<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.form {
            Gelu::Exact => self.by(exact),
            Gelu::Tanh => self.by(tanh),
            Gelu::Quick => self.by(quick),
        }
    }
}

impl<T: Element> Both<'_, T> {
    #[inline(always)]
    fn by(self, unit: impl Fn(T) -> [T; 2]) {
        let Self { y, slope, x, .. } = self;
        assert!(x.len() == y.len() && x.len() == slope.len());
        for ((y, slope), x) in y.iter_mut().zip(slope).zip(x) {
            let [value, derivative] = unit(*x);
            y.write(value);
            slope.write(derivative);
        }
    }
}

/// x Phi(x) and its derivative, Phi(x) + x phi(x).
#[inline(always)]
fn exact<T: Element>(x: T) -> [T; 2] {
    // Beyond 40 the density is 0, and its square would overflow.
    let near = clamp(x, 40.0);
    let density = (near * near * T::from_f64(-0.5)).exp_of_at_most_zero();
    let phi = x.normal_distribution(density);
    [x * phi, phi + near * density * T::from_f64(DENSITY_AT_0)]
}

#[inline(always)]
fn tanh<T: Element>(x: T) -> [T; 2] {
    // Beyond 40 the logistic function is 0 or 1, and the cube would overflow.
    let near = clamp(x, 40.0);
    let square = near * near * T::from_f64(TANH_CUBIC);
    let one = T::from_f64(1.0);
    let scale = T::from_f64(TANH_SCALE);
    let (sigma, slope) = logistic(near * scale * (one + square));
    [x * sigma, sigma + near * slope * scale * (one + square * T::from_f64(3.0))]
}

#[inline(always)]
fn quick<T: Element>(x: T) -> [T; 2] {
    let near = clamp(x, 1e3);
    let scale = T::from_f64(QUICK_SCALE);
    let (sigma, slope) = logistic(near * scale);
    [x * sigma, sigma + near * slope * scale]
}

/// x within [-most, most]; NaN stays.
#[inline(always)]
fn clamp<T: Element>(x: T, most: f64) -> T {
    let (least, most) = (T::from_f64(-most), T::from_f64(most));
    let x = if x < least { least } else { x };
    if x > most { most } else { x }
}

/// 1 / (1 + exp(-a)) and its derivative, of exponentials that do not overflow.
#[inline(always)]
fn logistic<T: Element>(a: T) -> (T, T) {
    let one = T::from_f64(1.0);
    let zero = T::zero();
    let e = (if a < zero { a } else { zero - a }).exp_of_at_most_zero();
    let inverse = one / (one + e);
    (if a < zero { e * inverse } else { inverse }, e * inverse * inverse)
}
