//! Convolution of any shape as a matrix product whose left side is the image itself.
//!
//! In channels-last order a row of a window is contiguous, and the windows of one output row lie
//! `stride x channels` apart: the micro-kernel reads them in place, and no matrix of windows is ever
//! written. Only a zero border is copied around images that have padding. Where images are only a
//! few pixels wide, the rows of the product are the images of the batch at one position, and taps
//! that never touch the image are left out.

mod border;
mod by_batch;
mod packing;
mod weight_grad;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::implicit::border::Bordered;
use crate::cpu::conv2d::implicit::packing::{packed, packed_transposed};
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::simd::run;
use crate::geometry::{ConvShape, Window};
use crate::tasks::Fork;

/// Pixels of a line, at most, that a 1x1 convolution sees.
const LINE: usize = 512;

/// Tasks that a pass is cut into at least: bands of rows, each with every panel of columns.
const TASKS: usize = 64;

/// y (B, H', W', to) of x (B, H, W, from) and the filters (K_h, K_w, from, to).
pub(super) fn forward(shape: &ConvShape, x: &[f32], weight: &[f32], y: &mut [MaybeUninit<f32>]) {
    if by_batch::suits(shape) {
        return by_batch::forward(shape, x, weight, y);
    }
    let shape = &flattened(shape);
    let panels = packed(weight, shape.to);
    let image = Bordered::around(x, shape);
    let (rows, line) = shape.window.out;
    let bands = bands(shape.batch, rows, shape.to);
    let heights = bands.iter().map(|(_, top, bottom)| (bottom - top) * line);
    let outputs = Block::unwritten(y, shape.to).row_bands(heights);
    tasks(&bands, outputs).into_par_iter().fork(|(&(number, top, bottom), panel, out)| {
        let (image, panels, rows) = (&image, &panels[..], top..bottom);
        run(ForwardBand { shape, image, panels, number, rows, panel, out });
    });
}

/// Each band with each panel of its columns.
fn tasks<'a, 'b, B>(bands: &'a [B], outputs: Vec<Block<'b>>) -> Vec<(&'a B, usize, Block<'b>)> {
    let with_panels = |(band, out): (&'a B, Block<'b>)| {
        let panels = out.column_panels(PANEL).into_iter().enumerate();
        panels.map(move |(panel, out)| (band, panel, out))
    };
    bands.iter().zip(outputs).flat_map(with_panels).collect()
}

/// Bands of rows as (image, first row, end): whole images where there are enough of them.
fn bands(batch: usize, rows: usize, columns: usize) -> Vec<(usize, usize, usize)> {
    let wanted = TASKS.div_ceil(columns.div_ceil(PANEL));
    let count = wanted.div_ceil(batch).min(rows);
    let edge = |band: usize| band * rows / count;
    (0..batch)
        .flat_map(|image| (0..count).map(move |band| (image, band)))
        .map(|(image, band)| (image, edge(band), edge(band + 1)))
        .collect()
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

struct ForwardBand<'a, 'b> {
    shape: &'a ConvShape,
    image: &'a Bordered<'a>,
    panels: &'a [f32],
    number: usize,
    rows: Range<usize>,
    panel: usize,
    out: Block<'b>,
}

impl WithSimd for ForwardBand<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { from, to, window, .. } = self.shape;
        let (k_h, k_w) = window.kernel;
        let (line, depth) = (window.out.1, k_h * k_w * from);
        let left = Left::Rows { stride: window.stride.1 * from };
        let mut segments = Vec::with_capacity(k_h);
        debug_assert_eq!(self.panels.len(), to.div_ceil(PANEL) * depth * PANEL);
        for i in self.rows.clone() {
            segments.clear();
            segments.extend((0..k_h).map(|u| Segment {
                a: self.image.pixel(self.number, i * window.stride.0 + u, 0) * from,
                b: (self.panel * depth + u * k_w * from) * PANEL,
                len: k_w * from,
            }));
            let a = &self.image.values;
            let product = Product { a, left, b: self.panels, b_stride: PANEL, segments: &segments };
            let row = (i - self.rows.start) * line;
            let target = Target { out: &mut self.out, row, step: 1, rows: line, add: false };
            micro::multiply(simd, product, target);
        }
    }
}

/// dx (B, H, W, from) of the filters (K_h, K_w, from, to) and dy (B, H', W', to).
pub(super) fn input_grad(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[f32],
    dx: &mut [MaybeUninit<f32>],
) {
    if by_batch::suits(shape) {
        return by_batch::input_grad(shape, weight, grad, dx);
    }
    let shape = &flattened(shape);
    let panels = packed_transposed(weight, [shape.from, shape.to], |_| true);
    let gradient = Bordered::around_gradient(grad, shape);
    let bands = bands(shape.batch, shape.window.image.0, shape.from);
    let heights = bands.iter().map(|(_, top, bottom)| (bottom - top) * shape.window.image.1);
    let outputs = Block::unwritten(dx, shape.from).row_bands(heights);
    tasks(&bands, outputs).into_par_iter().fork(|(&(number, top, bottom), panel, out)| {
        let (gradient, panels, rows) = (&gradient, &panels[..], top..bottom);
        run(InputGradBand { shape, gradient, panels, number, rows, panel, out });
    });
}

struct InputGradBand<'a, 'b> {
    shape: &'a ConvShape,
    gradient: &'a Bordered<'a>,
    panels: &'a [f32],
    number: usize,
    rows: Range<usize>,
    panel: usize,
    out: Block<'b>,
}

impl WithSimd for InputGradBand<'_, '_> {
    type Output = ();

    /// Pixels whose columns leave the same remainder by the stride see the same taps, at gradients
    /// one apart: they are the rows of one product.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { from, to, window, .. } = self.shape;
        let (stride, width) = (window.stride, window.image.1);
        let tap_len = from.div_ceil(PANEL) * to * PANEL;
        let left = Left::Rows { stride: *to };
        let mut segments = Vec::with_capacity(window.taps());
        for y in self.rows.clone() {
            for first in 0..stride.1.min(width) {
                segments.clear();
                for u in 0..window.kernel.0 {
                    let Some(i) = output_index(y, u, window.padding.0, stride.0) else {
                        continue;
                    };
                    for v in 0..window.kernel.1 {
                        let Some(j) = output_index(first, v, window.padding.1, stride.1) else {
                            continue;
                        };
                        let tap = u * window.kernel.1 + v;
                        segments.push(Segment {
                            a: self.gradient.shifted_pixel(self.number, i, j) * to,
                            b: tap * tap_len + self.panel * to * PANEL,
                            len: *to,
                        });
                    }
                }
                let rows = (width - first).div_ceil(stride.1);
                let row = (y - self.rows.start) * width + first;
                let a = &self.gradient.values;
                let product =
                    Product { a, left, b: self.panels, b_stride: PANEL, segments: &segments };
                let out = &mut self.out;
                let target = Target { out, row, step: stride.1, rows, add: false };
                micro::multiply(simd, product, target);
            }
        }
    }
}

/// The output whose window has `pixel` under tap `tap`, perhaps outside the image; `None` where the
/// stride skips it.
fn output_index(pixel: usize, tap: usize, padding: usize, stride: usize) -> Option<isize> {
    let offset = (pixel + padding) as isize - tap as isize;
    (offset.rem_euclid(stride as isize) == 0).then(|| offset.div_euclid(stride as isize))
}

/// dw (K_h, K_w, from, to) of x (B, H, W, from) and dy (B, H', W', to).
pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    if by_batch::suits(shape) {
        return by_batch::weight_grad(shape, x, grad, dw);
    }
    weight_grad::weight_grad(&flattened(shape), x, grad, dw);
}
