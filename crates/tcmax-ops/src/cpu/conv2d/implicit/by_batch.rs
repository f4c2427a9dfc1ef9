//! Convolution of images of a few pixels: the rows of each product are the images of the batch.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::implicit::packing::{pack_panel, pack_transposed_tap};
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::geometry::ConvShape;

/// From this number of output columns on, an output row alone fills the registers.
const WIDE: usize = 7;

/// Images that fill the registers.
const MANY: usize = 8;

/// Floats between the rows of different images at one pixel, beyond the channels: without them rows
/// of 512 channels would be mapped to the same lines of the cache.
const GAP: usize = 16;

pub(super) fn suits(shape: &ConvShape) -> bool {
    shape.window.out.1 < WIDE && shape.batch >= MANY
}

/// A batch with the images of each pixel together: (pixel, image, channels and a gap).
struct ByPixel {
    values: Scratch,
    batch: usize,
    row: usize,
}

impl ByPixel {
    fn new(images: &[f32], batch: usize, pixels: usize, channels: usize) -> Self {
        let row = channels + GAP;
        let mut values = Scratch::new(pixels * batch * row);
        for (image, pixel_values) in images.chunks_exact(pixels * channels).enumerate() {
            for (pixel, source) in pixel_values.chunks_exact(channels).enumerate() {
                let start = (pixel * batch + image) * row;
                values[start..][..channels].copy_from_slice(source);
                values[start + channels..][..GAP].fill(0.0);
            }
        }
        Self { values, batch, row }
    }

    fn at(&self, pixel: usize) -> usize {
        pixel * self.batch * self.row
    }
}

/// Pairs of taps and image pixels under the window at (i, j), for the taps inside the image.
fn taps(shape: &ConvShape, i: usize, j: usize) -> impl Iterator<Item = (usize, usize)> {
    let window = shape.window;
    (0..window.kernel.0).flat_map(move |u| {
        (0..window.kernel.1).filter_map(move |v| {
            let (y, x) = window.row(i, u).zip(window.column(j, v))?;
            Some((u * window.kernel.1 + v, y * window.image.1 + x))
        })
    })
}

/// Which taps meet the image at some position.
fn used_taps(shape: &ConvShape) -> Vec<bool> {
    let mut used = vec![false; shape.window.taps()];
    for i in 0..shape.window.out.0 {
        for j in 0..shape.window.out.1 {
            for (tap, _) in taps(shape, i, j) {
                used[tap] = true;
            }
        }
    }
    used
}

pub(super) fn forward(shape: &ConvShape, x: &[f32], weight: &[f32], y: &mut [MaybeUninit<f32>]) {
    let images = ByPixel::new(x, shape.batch, shape.window.pixels(), shape.from);
    let used = used_taps(shape);
    let panels = Block::unwritten(y, shape.to).column_panels(PANEL);
    panels.into_par_iter().enumerate().for_each(|(panel, out)| {
        let tap_len = shape.from * PANEL;
        let mut filters = Scratch::new(shape.window.taps() * tap_len);
        let taps =
            filters.chunks_exact_mut(tap_len).zip(weight.chunks_exact(shape.from * shape.to));
        for ((filter, tap), _) in taps.zip(&used).filter(|(_, used)| **used) {
            pack_panel(tap, shape.to, panel, filter);
        }
        run(Forward { shape, images: &images, filters: &filters, out });
    });
}

struct Forward<'a, 'b> {
    shape: &'a ConvShape,
    images: &'a ByPixel,
    filters: &'a [f32],
    out: Block<'b>,
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { batch, from, window, .. } = *self.shape;
        let left = Left::Rows { stride: self.images.row };
        let mut segments = Vec::with_capacity(window.taps());
        for i in 0..window.out.0 {
            for j in 0..window.out.1 {
                segments.clear();
                segments.extend(taps(self.shape, i, j).map(|(tap, pixel)| Segment {
                    a: self.images.at(pixel),
                    b: tap * from * PANEL,
                    len: from,
                }));
                let a = &self.images.values;
                let product =
                    Product { a, left, b: self.filters, b_stride: PANEL, segments: &segments };
                let (row, step) = (i * window.out.1 + j, window.positions());
                let target = Target { out: &mut self.out, row, step, rows: batch, add: false };
                micro::multiply(simd, product, target);
            }
        }
    }
}

pub(super) fn input_grad(
    shape: &ConvShape,
    weight: &[f32],
    grad: &[f32],
    dx: &mut [MaybeUninit<f32>],
) {
    let ConvShape { batch, from, to, window } = *shape;
    let gradients = ByPixel::new(grad, batch, window.positions(), to);
    let used = used_taps(shape);
    let tap_len = from.div_ceil(PANEL) * to * PANEL;
    let mut filters = Scratch::new(window.taps() * tap_len);
    let taps = filters.par_chunks_mut(tap_len).zip(weight.par_chunks(from * to)).zip(&used);
    taps.filter(|(_, used)| **used).for_each(|((filter, tap), _)| {
        pack_transposed_tap(tap, from, to, filter);
    });
    let sources = sources(shape);
    let panels = Block::unwritten(dx, from).column_panels(PANEL);
    panels.into_par_iter().enumerate().for_each(|(panel, out)| {
        let (gradients, filters, sources) = (&gradients, &filters[..], &sources[..]);
        run(InputGrad { shape, gradients, filters, sources, panel, out });
    });
}

/// For each pixel the pairs of taps and output positions that see it.
fn sources(shape: &ConvShape) -> Vec<Vec<(usize, usize)>> {
    let mut sources = vec![Vec::new(); shape.window.pixels()];
    for i in 0..shape.window.out.0 {
        for j in 0..shape.window.out.1 {
            for (tap, pixel) in taps(shape, i, j) {
                sources[pixel].push((tap, i * shape.window.out.1 + j));
            }
        }
    }
    sources
}

struct InputGrad<'a, 'b> {
    shape: &'a ConvShape,
    gradients: &'a ByPixel,
    filters: &'a [f32],
    sources: &'a [Vec<(usize, usize)>],
    panel: usize,
    out: Block<'b>,
}

impl WithSimd for InputGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { batch, from, to, window } = *self.shape;
        let left = Left::Rows { stride: self.gradients.row };
        let mut segments = Vec::with_capacity(window.taps());
        for (pixel, sources) in self.sources.iter().enumerate() {
            segments.clear();
            segments.extend(sources.iter().map(|&(tap, position)| Segment {
                a: self.gradients.at(position),
                b: (tap * from.div_ceil(PANEL) + self.panel) * to * PANEL,
                len: to,
            }));
            let a = &self.gradients.values;
            let product =
                Product { a, left, b: self.filters, b_stride: PANEL, segments: &segments };
            let (out, step) = (&mut self.out, window.pixels());
            let target = Target { out, row: pixel, step, rows: batch, add: false };
            micro::multiply(simd, product, target);
        }
    }
}

pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    let ConvShape { batch, from, to, window } = *shape;
    let images = ByPixel::new(x, batch, window.pixels(), from);
    let panels = Block::unwritten(dw, to).column_panels(PANEL);
    panels.into_par_iter().enumerate().for_each(|(panel, out)| {
        // (position, image, columns of the panel)
        let mut gradients = Scratch::new(window.positions() * batch * PANEL);
        let width = out.columns();
        for (row, source) in grad.chunks_exact(to).enumerate() {
            let (image, position) = (row / window.positions(), row % window.positions());
            let target = &mut gradients[(position * batch + image) * PANEL..][..PANEL];
            target[..width].copy_from_slice(&source[panel * PANEL..][..width]);
            target[width..].fill(0.0);
        }
        run(WeightGrad { shape, images: &images, gradients: &gradients, out });
    });
}

struct WeightGrad<'a, 'b> {
    shape: &'a ConvShape,
    images: &'a ByPixel,
    gradients: &'a [f32],
    out: Block<'b>,
}

impl WithSimd for WeightGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { batch, from, window, .. } = *self.shape;
        let mut segments = vec![Vec::new(); window.taps()];
        for i in 0..window.out.0 {
            for j in 0..window.out.1 {
                for (tap, pixel) in taps(self.shape, i, j) {
                    segments[tap].push(Segment {
                        a: self.images.at(pixel),
                        b: (i * window.out.1 + j) * batch * PANEL,
                        len: batch,
                    });
                }
            }
        }
        let left = Left::Columns { stride: self.images.row };
        for (tap, segments) in segments.iter().enumerate() {
            let a = &self.images.values;
            let product = Product { a, left, b: self.gradients, b_stride: PANEL, segments };
            let out = &mut self.out;
            let target = Target { out, row: tap * from, step: 1, rows: from, add: false };
            micro::multiply(simd, product, target);
        }
    }
}
