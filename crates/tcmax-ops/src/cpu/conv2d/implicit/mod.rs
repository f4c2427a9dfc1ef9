//! Convolution of any shape as a matrix product whose left side is the image itself.
//!
//! In channels-last order a row of a window is contiguous, and the windows of one output row lie
//! `stride x channels` apart: the micro-kernel reads them in place, and no matrix of windows is ever
//! written. Where windows reach into the padding, the taps there are left out, and the windows along an
//! image's side are products of their own. Where images are only a few pixels wide, the rows of the
//! product are the images of the batch at one position.

mod border;
mod by_batch;
mod correlate;
mod packing;
mod runs;
mod weight_grad;

use std::mem::MaybeUninit;

use crate::cpu::conv2d::implicit::correlate::Correlation;
use crate::cpu::conv2d::implicit::packing::{packed, packed_transposed};
use crate::cpu::conv2d::implicit::runs::runs;
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::PANEL;
use crate::geometry::{ConvShape, Window};

/// Pixels of a line, at most, that a 1x1 convolution sees.
const LINE: usize = 512;

/// y (B, H', W', to) of x (B, H, W, from) and the filters (K_h, K_w, from, to).
pub(super) fn forward(shape: &ConvShape, x: &[f32], weight: &[f32], y: &mut [MaybeUninit<f32>]) {
    if by_batch::suits(shape) {
        return by_batch::forward(shape, x, weight, y);
    }
    let shape = &flattened(shape);
    let ConvShape { batch, from, to, window } = *shape;
    let (kernel, stride) = (window.kernel, window.stride);
    let columns = runs(0..window.out.1, 1, stride.1, |j| {
        (0..kernel.1).filter_map(move |v| Some((v, window.column(j, v)?)))
    });
    let correlation = Correlation {
        batch,
        source: x,
        size: window.image,
        channels: from,
        filters: &packed(weight, to),
        panel_step: shape.depth() * PANEL,
        tap_step: from * PANEL,
        kernel_width: kernel.1,
        target: window.out,
        columns,
    };
    correlation.run(Block::unwritten(y, to), |lines| {
        runs(lines, 1, stride.0, |i| {
            (0..kernel.0).filter_map(move |u| Some((u, window.row(i, u)?)))
        })
    });
}

/// A 1x1 convolution at stride 1 sees the whole batch as one line of pixels.
fn flattened(shape: &ConvShape) -> ConvShape {
    let window = &shape.window;
    let pointwise = window.kernel == (1, 1) && window.stride == (1, 1) && window.padding == (0, 0);
    if !pointwise {
        return *shape;
    }
    // Lines of a bounded number of pixels, so that there are enough tasks.
    let pixels = shape.batch * window.pixels();
    let line = (1..=pixels.min(LINE)).rev().find(|line| pixels.is_multiple_of(*line));
    let line = line.unwrap_or(1);
    let size = (pixels / line, line);
    let window = Window { image: size, out: size, ..*window };
    ConvShape { batch: 1, window, ..*shape }
}

/// dx (B, H, W, from) of the filters (K_h, K_w, from, to) and dy (B, H', W', to).
///
/// Pixels whose columns leave the same remainder by the stride see the same taps, at gradients one apart.
pub(super) fn input_grad(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[f32],
    dx: &mut [MaybeUninit<f32>],
) {
    if by_batch::suits(shape) {
        return by_batch::input_grad(shape, weight, grad, dx);
    }
    let ConvShape { batch, from, to, window } = flattened(shape);
    let (kernel, stride, padding) = (window.kernel, window.stride, window.padding);
    let columns = runs(0..window.image.1, stride.1, 1, |x| {
        let output = move |v| output_index(x, v, (padding.1, stride.1, window.out.1));
        (0..kernel.1).filter_map(move |v| Some((v, output(v)?)))
    });
    let correlation = Correlation {
        batch,
        source: grad,
        size: window.out,
        channels: to,
        filters: &packed_transposed(weight, [from, to], |_| true),
        panel_step: to * PANEL,
        tap_step: from.div_ceil(PANEL) * to * PANEL,
        kernel_width: kernel.1,
        target: window.image,
        columns,
    };
    correlation.run(Block::unwritten(dx, from), |lines| {
        runs(lines, stride.0, 1, |y| {
            let output = move |u| output_index(y, u, (padding.0, stride.0, window.out.0));
            (0..kernel.0).filter_map(move |u| Some((u, output(u)?)))
        })
    });
}

/// The output whose window has `pixel` under tap `tap`; `None` where there is none, or the stride skips it.
fn output_index(
    pixel: usize,
    tap: usize,
    (padding, stride, count): (usize, usize, usize),
) -> Option<usize> {
    let offset = (pixel + padding).checked_sub(tap)?;
    let output = offset / stride;
    (output * stride == offset && output < count).then_some(output)
}

/// dw (K_h, K_w, from, to) of x (B, H, W, from) and dy (B, H', W', to).
pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    if by_batch::suits(shape) {
        return by_batch::weight_grad(shape, x, grad, dw);
    }
    weight_grad::weight_grad(&flattened(shape), x, grad, dw);
}
