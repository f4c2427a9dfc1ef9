//! Convolution by unfolding images into matrices of windows: the plain way, for f64.
//!
//! Each image becomes a matrix (H' W', K_h K_w C) that is multiplied with the filters. It is slow and
//! simple: the double-precision path, by which the fast kernels are judged too.

use std::mem::MaybeUninit;

use candle_core::FloatDType;
use rayon::prelude::*;

use crate::cpu::{Matrix, multiply, zeroed};
use crate::kernels::Shape;

/// Images whose weight gradients are summed by one task. Part of the result's bits.
const IMAGES_PER_SUM: usize = 4;

fn depth(shape: &Shape) -> usize {
    shape.window.taps() * shape.from
}

fn image_len(shape: &Shape) -> usize {
    shape.window.pixels() * shape.from
}

fn out_len(shape: &Shape) -> usize {
    shape.window.positions() * shape.to
}

/// Calls `visit` with every pixel under every window: the place in the matrix of windows and the
/// place in the image, each of `from` channels.
fn each_pixel(shape: &Shape, mut visit: impl FnMut(usize, usize)) {
    let window = &shape.window;
    for i in 0..window.out.0 {
        for j in 0..window.out.1 {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let Some((y, x)) = window.row(i, u).zip(window.column(j, v)) else { continue };
                    let position = i * window.out.1 + j;
                    let tap = u * window.kernel.1 + v;
                    let place = (position * window.taps() + tap) * shape.from;
                    visit(place, (y * window.image.1 + x) * shape.from);
                }
            }
        }
    }
}

fn windows<T: FloatDType>(shape: &Shape, image: &[T]) -> Vec<T> {
    let mut windows = vec![T::zero(); shape.window.positions() * depth(shape)];
    each_pixel(shape, |place, pixel| {
        windows[place..][..shape.from].copy_from_slice(&image[pixel..][..shape.from]);
    });
    windows
}

pub(crate) fn forward<T: FloatDType>(
    shape: &Shape,
    x: &[T],
    weight: &[T],
    y: &mut [MaybeUninit<T>],
) {
    let y = zeroed(y);
    let images = x.par_chunks(image_len(shape));
    y.par_chunks_mut(out_len(shape)).zip(images).for_each(|(y, image)| {
        let windows = windows(shape, image);
        let windows = Matrix::new(&windows, shape.window.positions(), depth(shape));
        multiply(y, windows, Matrix::new(weight, depth(shape), shape.to), false);
    });
}

pub(crate) fn input_grad<T: FloatDType>(
    shape: &Shape,
    weight: &[T],
    grad: &[T],
    dx: &mut [MaybeUninit<T>],
) {
    let dx = zeroed(dx);
    let grads = grad.par_chunks(out_len(shape));
    dx.par_chunks_mut(image_len(shape)).zip(grads).for_each(|(dx, grad)| {
        let mut windows = vec![T::zero(); shape.window.positions() * depth(shape)];
        let grad = Matrix::new(grad, shape.window.positions(), shape.to);
        let weight = Matrix::new(weight, depth(shape), shape.to);
        multiply(&mut windows, grad, weight.transposed(), false);
        each_pixel(shape, |place, pixel| {
            let target = dx[pixel..][..shape.from].iter_mut();
            for (sum, value) in target.zip(&windows[place..][..shape.from]) {
                *sum += *value;
            }
        });
    });
}

pub(crate) fn weight_grad<T: FloatDType>(
    shape: &Shape,
    x: &[T],
    grad: &[T],
    dw: &mut [MaybeUninit<T>],
) {
    let dw = zeroed(dw);
    let images = x.par_chunks(IMAGES_PER_SUM * image_len(shape));
    let grads = grad.par_chunks(IMAGES_PER_SUM * out_len(shape));
    let partial_sum = |(images, grads): (&[T], &[T])| {
        let mut sum = vec![T::zero(); dw.len()];
        let pairs = images.chunks(image_len(shape)).zip(grads.chunks(out_len(shape)));
        for (image, grad) in pairs {
            let windows = windows(shape, image);
            let windows = Matrix::new(&windows, shape.window.positions(), depth(shape));
            let grad = Matrix::new(grad, shape.window.positions(), shape.to);
            multiply(&mut sum, windows.transposed(), grad, true);
        }
        sum
    };
    let sums: Vec<Vec<T>> = images.zip(grads).map(partial_sum).collect();
    for sum in sums {
        for (total, part) in dw.iter_mut().zip(sum) {
            *total += part;
        }
    }
}
