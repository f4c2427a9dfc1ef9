//! Convolution of images of a few pixels: the rows of each product are the images of the batch.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::implicit::packing::{pack_panel, packed_transposed};
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::geometry::ConvShape;
use crate::tasks::Fork;

/// From this number of output columns on, an output row alone fills the registers.
const WIDE: usize = 7;

/// Images that fill the registers.
const MANY: usize = 8;

/// Rows that a thread copies at least.
const ROWS_AT_ONCE: usize = 16;

/// Rows of a weight gradient that a task sums, at most.
const ROWS_OF_TASK: usize = 128;

/// Zeros that a task writes.
const CLEARED_AT_ONCE: usize = 1 << 16;

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
        let rows = values.par_chunks_mut(row).with_min_len(ROWS_AT_ONCE).enumerate();
        rows.fork(|(number, out)| {
            let (pixel, image) = (number / batch, number % batch);
            let (out, gap) = out.split_at_mut(channels);
            out.copy_from_slice(&images[(image * pixels + pixel) * channels..][..channels]);
            gap.fill(0.0);
        });
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
    panels.into_par_iter().enumerate().fork(|(panel, out)| {
        let tap_len = shape.from * PANEL;
        let mut filters = Scratch::new(shape.window.taps() * tap_len);
        let taps = filters.par_chunks_mut(tap_len).zip(weight.par_chunks(shape.from * shape.to));
        taps.zip(&used[..]).fork(|((filter, tap), used)| {
            if *used {
                pack_panel(tap, shape.to, panel, filter);
            }
        });
        let (images, filters) = (&images, &filters[..]);
        let positions = out.interleaved_rows(shape.window.positions());
        positions.into_par_iter().enumerate().fork(|(position, out)| {
            run(Forward { shape, images, filters, position, out });
        });
    });
}

struct Forward<'a, 'b> {
    shape: &'a ConvShape,
    images: &'a ByPixel,
    filters: &'a [f32],
    position: usize,
    out: Block<'b>,
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { batch, from, window, .. } = *self.shape;
        let left = Left::Rows { stride: self.images.row };
        let (i, j) = (self.position / window.out.1, self.position % window.out.1);
        let segment =
            |(tap, pixel)| Segment { a: self.images.at(pixel), b: tap * from * PANEL, len: from };
        let segments: Vec<Segment> = taps(self.shape, i, j).map(segment).collect();
        let (a, b) = (&self.images.values, self.filters);
        let product = Product { a, left, b, b_stride: PANEL, segments: &segments };
        let target = Target { out: &mut self.out, row: 0, step: 1, rows: batch, add: false };
        micro::multiply(simd, product, target);
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
    let filters = packed_transposed(weight, [from, to], |tap| used[tap]);
    let sources = sources(shape);
    let panels = Block::unwritten(dx, from).column_panels(PANEL).into_iter().enumerate();
    let mut tasks = Vec::new();
    for (panel, out) in panels {
        let pixels = out.interleaved_rows(window.pixels()).into_iter().zip(&sources);
        tasks.extend(pixels.map(|(out, sources)| (panel, &sources[..], out)));
    }
    tasks.into_par_iter().fork(|(panel, sources, out)| {
        let (gradients, filters) = (&gradients, &filters[..]);
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
    /// Those of the pixel.
    sources: &'a [(usize, usize)],
    panel: usize,
    out: Block<'b>,
}

impl WithSimd for InputGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ConvShape { batch, from, to, .. } = *self.shape;
        let left = Left::Rows { stride: self.gradients.row };
        let segment = |&(tap, position): &(usize, usize)| Segment {
            a: self.gradients.at(position),
            b: (tap * from.div_ceil(PANEL) + self.panel) * to * PANEL,
            len: to,
        };
        let segments: Vec<Segment> = self.sources.iter().map(segment).collect();
        let (a, b) = (&self.gradients.values, self.filters);
        let product = Product { a, left, b, b_stride: PANEL, segments: &segments };
        let target = Target { out: &mut self.out, row: 0, step: 1, rows: batch, add: false };
        micro::multiply(simd, product, target);
    }
}

pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    let ConvShape { batch, from, to, window } = *shape;
    let images = ByPixel::new(x, batch, window.pixels(), from);
    let used = used_taps(shape);
    // What meets no image is most of the memory where images are one pixel: in one piece, not in columns.
    let unused = dw.chunks_exact_mut(from * to).zip(&used).filter(|(_, used)| !**used);
    let unused: Vec<_> = unused.flat_map(|(tap, _)| tap.chunks_mut(CLEARED_AT_ONCE)).collect();
    unused.into_par_iter().fork(|values| values.fill(MaybeUninit::new(0.0)));
    let panels = Block::unwritten(dw, to).column_panels(PANEL);
    let segments = segments_of_taps(shape, &images);
    let parts = from.div_ceil(ROWS_OF_TASK);
    let edge = |part: usize| part * from / parts;
    let rows: Vec<(usize, [usize; 2])> = (0..window.taps())
        .flat_map(|tap| (0..parts).map(move |part| (tap, [edge(part), edge(part + 1)])))
        .collect();
    panels.into_par_iter().enumerate().fork(|(panel, out)| {
        // (position, image, columns of the panel)
        let mut gradients = Scratch::new(window.positions() * batch * PANEL);
        let width = out.columns();
        for (row, source) in grad.chunks_exact(to).enumerate() {
            let (image, position) = (row / window.positions(), row % window.positions());
            let target = &mut gradients[(position * batch + image) * PANEL..][..PANEL];
            target[..width].copy_from_slice(&source[panel * PANEL..][..width]);
            target[width..].fill(0.0);
        }
        let bands = out.row_bands(rows.iter().map(|(_, [start, end])| end - start));
        let bands: Vec<_> = rows.iter().zip(bands).filter(|((tap, _), _)| used[*tap]).collect();
        bands.into_par_iter().fork(|((tap, [first, _]), out)| {
            let (images, gradients, segments) = (&images, &gradients[..], &segments[*tap][..]);
            run(WeightGrad { images, gradients, segments, first: *first, out });
        });
    });
}

/// For each tap the pixels it meets, with the gradients of the positions.
fn segments_of_taps(shape: &ConvShape, images: &ByPixel) -> Vec<Vec<Segment>> {
    let window = shape.window;
    let mut segments = vec![Vec::new(); window.taps()];
    for i in 0..window.out.0 {
        for j in 0..window.out.1 {
            for (tap, pixel) in taps(shape, i, j) {
                segments[tap].push(Segment {
                    a: images.at(pixel),
                    b: (i * window.out.1 + j) * shape.batch * PANEL,
                    len: shape.batch,
                });
            }
        }
    }
    segments
}

/// Some rows of one tap's gradient.
struct WeightGrad<'a, 'b> {
    images: &'a ByPixel,
    gradients: &'a [f32],
    segments: &'a [Segment],
    /// The first row, a channel.
    first: usize,
    out: Block<'b>,
}

impl WithSimd for WeightGrad<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let left = Left::Columns { stride: self.images.row };
        let a = &self.images.values[self.first..];
        let (b, segments) = (self.gradients, self.segments);
        let product = Product { a, left, b, b_stride: PANEL, segments };
        let rows = self.out.rows();
        let target = Target { out: &mut self.out, row: 0, step: 1, rows, add: false };
        micro::multiply(simd, product, target);
    }
}
