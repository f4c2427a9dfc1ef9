//! Convolution by unfolding images into matrices of windows: the plain way, for f64.
//!
//! Each image becomes a matrix (H' W', K_h K_w C) that is multiplied with the filters. It is slow and
//! simple: the double-precision path, by which the fast kernels are judged too.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::cpu::conv2d::Convolve;
use crate::cpu::matmul::plain::{Matrix, multiply};
use crate::cpu::storage::zeroed;
use crate::geometry::ConvShape;
use crate::tasks::Fork;

/// Images whose weight gradients are summed by one task. The result's bits depend on it.
const IMAGES_PER_SUM: usize = 4;

/// Calls `visit` with every pixel under every window: the index of its `from` channels in the matrix of
/// windows, and in the image.
fn each_pixel(shape: &ConvShape, mut visit: impl FnMut(usize, usize)) {
    let window = &shape.window;
    for i in 0..window.out.0 {
        for j in 0..window.out.1 {
            for u in 0..window.kernel.0 {
                for v in 0..window.kernel.1 {
                    let Some((y, x)) = window.row(i, u).zip(window.column(j, v)) else { continue };
                    let position = i * window.out.1 + j;
                    let tap = u * window.kernel.1 + v;
                    let index = (position * window.taps() + tap) * shape.from;
                    visit(index, (y * window.image.1 + x) * shape.from);
                }
            }
        }
    }
}

fn windows(shape: &ConvShape, image: &[f64]) -> Vec<f64> {
    let mut windows = vec![0.0; shape.window.positions() * shape.depth()];
    each_pixel(shape, |index, pixel| {
        windows[index..][..shape.from].copy_from_slice(&image[pixel..][..shape.from]);
    });
    windows
}

impl Convolve for f64 {
    fn forward(shape: &ConvShape, x: &[Self], weight: &[Self], y: &mut [MaybeUninit<Self>]) {
        let y = zeroed(y);
        let images = x.par_chunks(shape.image_len());
        y.par_chunks_mut(shape.out_len()).zip(images).fork(|(y, image)| {
            let windows = windows(shape, image);
            let windows = Matrix::new(&windows, shape.window.positions(), shape.depth());
            multiply(y, windows, Matrix::new(weight, shape.depth(), shape.to), false);
        });
    }

    fn input_grad(shape: &ConvShape, weight: &[Self], grad: &[Self], dx: &mut [MaybeUninit<Self>]) {
        let dx = zeroed(dx);
        let grads = grad.par_chunks(shape.out_len());
        dx.par_chunks_mut(shape.image_len()).zip(grads).fork(|(dx, grad)| {
            let mut windows = vec![0.0; shape.window.positions() * shape.depth()];
            let grad = Matrix::new(grad, shape.window.positions(), shape.to);
            let weight = Matrix::new(weight, shape.depth(), shape.to);
            multiply(&mut windows, grad, weight.transposed(), false);
            each_pixel(shape, |index, pixel| {
                let target = dx[pixel..][..shape.from].iter_mut();
                for (sum, value) in target.zip(&windows[index..][..shape.from]) {
                    *sum += *value;
                }
            });
        });
    }

    fn weight_grad(shape: &ConvShape, x: &[Self], grad: &[Self], dw: &mut [MaybeUninit<Self>]) {
        let dw = zeroed(dw);
        let images = x.par_chunks(IMAGES_PER_SUM * shape.image_len());
        let grads = grad.par_chunks(IMAGES_PER_SUM * shape.out_len());
        let partial_sum = |(images, grads): (&[Self], &[Self])| {
            let mut sum = vec![0.0; dw.len()];
            let pairs = images.chunks(shape.image_len()).zip(grads.chunks(shape.out_len()));
            for (image, grad) in pairs {
                let windows = windows(shape, image);
                let windows = Matrix::new(&windows, shape.window.positions(), shape.depth());
                let grad = Matrix::new(grad, shape.window.positions(), shape.to);
                multiply(&mut sum, windows.transposed(), grad, true);
            }
            sum
        };
        let sums: Vec<Vec<Self>> = images.zip(grads).gather(partial_sum);
        for sum in sums {
            for (total, part) in dw.iter_mut().zip(sum) {
                *total += part;
            }
        }
    }
}
