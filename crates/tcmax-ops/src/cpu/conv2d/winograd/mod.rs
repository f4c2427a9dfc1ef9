//! 3x3 convolution at stride 1 and padding 1 by Winograd's F(4x4, 3x3).
//!
//! ```text
//! forward        y  = A^T ((G w G^T) * (B^T x B)) A        products summed over input channels
//! input grad     the same, of dy, with the filters flipped and transposed
//! weight grad    dw = G^T ((B^T x B) * (A dy A^T)) G       products summed over tiles
//! ```
//!
//! For each of the 36 points the products are one matrix product. Large images are cut into bands of
//! tiles whose transforms stay in the second-level cache; where all tiles fit at once, the filters
//! are transformed panel by panel instead, and are never all in memory.

mod tiles;
mod transform;

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::transpose::transpose_into;
use crate::cpu::conv2d::winograd::tiles::{
    Bank, FilterGradPanel, FilterPanel, GradPanel, Grid, InputPanel, OutputPanel, POINTS, Points,
};
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;

/// Tiles of a band: with 64 channels half a megabyte of transformed input.
const BAND_TILES: usize = 56;

/// Up to this number, all tiles are taken at once rather than in bands.
const ALL_TILES: usize = 140;

/// Groups of bands, each of which sums a weight gradient. The result's bits depend on it.
const GROUPS: usize = 4;

/// Sizes of a 3x3 convolution that keeps the image's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Same3x3 {
    pub(super) batch: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Same3x3 {
    fn grid(&self) -> Grid {
        Grid { batch: self.batch, height: self.height, width: self.width }
    }

    /// The convolution of the gradient: the same image, channels exchanged.
    pub(super) fn reversed(&self) -> Self {
        Self { from: self.to, to: self.from, ..*self }
    }

    /// Rows of tiles of each band; `None` where all tiles are taken at once.
    fn bands(&self) -> Option<Vec<Range<usize>>> {
        let grid = self.grid();
        if grid.tiles() <= ALL_TILES {
            return None;
        }
        let most = (BAND_TILES / grid.across()).max(1);
        // A multiple of the groups where there are many, so that groups are equally long.
        let count = grid.rows().div_ceil(most).next_multiple_of(GROUPS).min(grid.rows());
        let edge = |band: usize| band * grid.rows() / count;
        Some((0..count).map(|band| edge(band)..edge(band + 1)).collect())
    }
}

/// Filters (3, 3, from, to), or what the gradient of the input is convolved with.
#[derive(Clone, Copy)]
pub(super) enum Filters<'a> {
    Plain(&'a [f32]),
    /// Flipped in both directions and transposed: given as (3, 3, to, from).
    Flipped(&'a [f32]),
}

/// Rows of a panel of filters that are transformed at once, so that they stay in the second-level
/// cache.
const ROWS_AT_ONCE: usize = 64;

/// One panel of the filters of a convolution.
struct Panel<'a> {
    shape: &'a Same3x3,
    source: Source<'a>,
    columns: Range<usize>,
}

enum Source<'a> {
    Borrowed(&'a [f32]),
    /// (3, 3, from, PANEL)
    Packed(Scratch),
}

impl<'a> Panel<'a> {
    fn new(shape: &'a Same3x3, filters: Filters<'a>, panel: usize) -> Self {
        let columns = panel * PANEL..shape.to.min((panel + 1) * PANEL);
        match filters {
            Filters::Plain(values) => Self { shape, source: Source::Borrowed(values), columns },
            Filters::Flipped(values) => {
                let (from, width) = (shape.from, columns.len());
                let mut packed = Scratch::new(9 * from * PANEL);
                let taps = packed.chunks_exact_mut(from * PANEL);
                for (out, tap) in taps.zip(values.chunks_exact(from * shape.to).rev()) {
                    let rows = &tap[columns.start * from..columns.end * from];
                    transpose_into(rows, from, out, PANEL);
                }
                Self { shape, source: Source::Packed(packed), columns: 0..width }
            }
        }
    }

    /// Transforms some rows.
    fn transform(&self, rows: Range<usize>, out: &mut [f32]) {
        let (from, to) = (self.shape.from, self.shape.to);
        let bank = match &self.source {
            Source::Borrowed(values) => Bank { values, tap_stride: from * to, row_stride: to },
            Source::Packed(values) => Bank { values, tap_stride: from * PANEL, row_stride: PANEL },
        };
        run(FilterPanel { bank, rows, columns: self.columns.clone(), out });
    }
}

/// y (B, H, W, to) of x (B, H, W, from).
pub(super) fn forward(
    shape: &Same3x3,
    x: &[f32],
    filters: Filters<'_>,
    y: &mut [MaybeUninit<f32>],
) {
    match shape.bands() {
        Some(bands) => forward_in_bands(shape, &bands, x, filters, y),
        None => forward_at_once(shape, x, filters, y),
    }
}

fn forward_in_bands(
    shape: &Same3x3,
    bands: &[Range<usize>],
    x: &[f32],
    filters: Filters<'_>,
    y: &mut [MaybeUninit<f32>],
) {
    let grid = shape.grid();
    let filter_len = Points::new(shape.from).len();
    let mut transformed = Scratch::new(shape.to.div_ceil(PANEL) * filter_len);
    transformed.par_chunks_mut(filter_len).enumerate().for_each(|(panel, out)| {
        Panel::new(shape, filters, panel).transform(0..shape.from, out);
    });
    let heights =
        bands.iter().map(|band| grid.pixels_before(band.end) - grid.pixels_before(band.start));
    let outputs = Block::unwritten(y, shape.to).row_bands(heights);
    let transformed = &transformed[..];
    bands.par_iter().zip(outputs).for_each(|(band, out)| {
        let tiles = band.start * grid.across()..band.end * grid.across();
        let len = Points::new(tiles.len()).len();
        let mut points = Scratch::new(shape.from.div_ceil(PANEL) * len);
        let source = (x, shape.from);
        for (panel, out) in points.chunks_exact_mut(len).enumerate() {
            run(InputPanel { grid, source, tiles: tiles.clone(), panel, out });
        }
        let mut products = Scratch::new(len);
        let panels = out.column_panels(PANEL);
        for (filter, mut out) in transformed.chunks_exact(filter_len).zip(panels) {
            let (points, products, channels) = (&points[..], &mut products[..], 0..shape.from);
            run(Multiply { tiles: tiles.len(), channels, points, filter, products });
            run(OutputPanel { grid, tiles: tiles.clone(), products, out: &mut out });
        }
    });
}

fn forward_at_once(shape: &Same3x3, x: &[f32], filters: Filters<'_>, y: &mut [MaybeUninit<f32>]) {
    let points = all_points(shape, x);
    let panels = Block::unwritten(y, shape.to).column_panels(PANEL);
    let grid = shape.grid();
    panels.into_par_iter().enumerate().for_each(|(panel, mut out)| {
        let filters = Panel::new(shape, filters, panel);
        let tiles = 0..grid.tiles();
        let mut products = Scratch::new(Points::new(tiles.len()).len());
        for channels in blocks(shape.from) {
            let mut filter = Scratch::new(Points::new(channels.len()).len());
            filters.transform(channels.clone(), &mut filter);
            let (points, products) = (&points[..], &mut products[..]);
            run(Multiply { tiles: tiles.len(), channels, points, filter: &filter, products });
        }
        run(OutputPanel { grid, tiles, products: &products, out: &mut out });
    });
}

/// Ranges of rows that are transformed together; their starts are multiples of [`PANEL`].
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS_AT_ONCE).map(move |start| start..rows.min(start + ROWS_AT_ONCE))
}

/// The transformed tiles of the whole batch, panel by panel.
fn all_points(shape: &Same3x3, x: &[f32]) -> Scratch {
    let grid = shape.grid();
    let len = Points::new(grid.tiles()).len();
    let mut points = Scratch::new(shape.from.div_ceil(PANEL) * len);
    points.par_chunks_mut(len).enumerate().for_each(|(panel, out)| {
        run(InputPanel { grid, source: (x, shape.from), tiles: 0..grid.tiles(), panel, out });
    });
    points
}

/// dw (3, 3, from, to) of x (B, H, W, from) and dy (B, H, W, to).
pub(super) fn weight_grad(shape: &Same3x3, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    match shape.bands() {
        Some(bands) => weight_grad_in_bands(shape, &bands, x, grad, dw),
        None => weight_grad_at_once(shape, x, grad, dw),
    }
}

fn weight_grad_in_bands(
    shape: &Same3x3,
    bands: &[Range<usize>],
    x: &[f32],
    grad: &[f32],
    dw: &mut [MaybeUninit<f32>],
) {
    let grid = shape.grid();
    let sum_len = Points::new(shape.from).len();
    let panels = shape.to.div_ceil(PANEL);
    let groups = bands.chunks(bands.len().div_ceil(GROUPS));
    let mut sums: Vec<Scratch> = groups.clone().map(|_| Scratch::new(panels * sum_len)).collect();
    sums.par_iter_mut().zip(groups.collect::<Vec<_>>()).for_each(|(sums, bands)| {
        for (number, band) in bands.iter().enumerate() {
            let tiles = band.start * grid.across()..band.end * grid.across();
            let len = Points::new(tiles.len()).len();
            let mut points = Scratch::new(shape.from.div_ceil(PANEL) * len);
            for (panel, out) in points.chunks_exact_mut(len).enumerate() {
                let source = (x, shape.from);
                run(InputPanel { grid, source, tiles: tiles.clone(), panel, out });
            }
            let mut grads = Scratch::new(len);
            for (panel, sum) in sums.chunks_exact_mut(sum_len).enumerate() {
                let source = (grad, shape.to);
                let out = &mut grads[..];
                run(GradPanel { grid, source, tiles: tiles.clone(), panel, out });
                let (channels, tiles, add) = (0..shape.from, tiles.len(), number > 0);
                run(SumPanel { channels, tiles, points: &points, grads: &grads, sum, add });
            }
        }
    });
    let (total, rest) = sums.split_at_mut(1);
    let out = Block::unwritten(dw, shape.to).column_panels(PANEL);
    let totals = total[0].par_chunks_mut(sum_len).zip(out).enumerate();
    totals.for_each(|(panel, (total, out))| {
        for sums in rest.iter() {
            for (total, sum) in total.iter_mut().zip(&sums[panel * sum_len..][..sum_len]) {
                *total += *sum;
            }
        }
        let mut out = out;
        run(FilterGradPanel { sum: total, rows: 0..shape.from, out: &mut out });
    });
}

fn weight_grad_at_once(shape: &Same3x3, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    let grid = shape.grid();
    let points = all_points(shape, x);
    let panels = Block::unwritten(dw, shape.to).column_panels(PANEL);
    panels.into_par_iter().enumerate().for_each(|(panel, mut out)| {
        let tiles = 0..grid.tiles();
        let mut grads = Scratch::new(Points::new(tiles.len()).len());
        let source = (grad, shape.to);
        run(GradPanel { grid, source, tiles: tiles.clone(), panel, out: &mut grads });
        let (points, grads, tiles) = (&points[..], &grads[..], tiles.len());
        for channels in blocks(shape.from) {
            let mut sum = Scratch::new(Points::new(channels.len()).len());
            let (rows, out) = (channels.clone(), &mut out);
            run(SumPanel { channels, tiles, points, grads, sum: &mut sum, add: false });
            run(FilterGradPanel { sum: &sum, rows, out });
        }
    });
}

/// Multiplies some channels of transformed tiles with one panel of filters, and adds the products to
/// those of the channels before.
struct Multiply<'a> {
    tiles: usize,
    channels: Range<usize>,
    points: &'a [f32],
    filter: &'a [f32],
    products: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, channels, .. } = self;
        let (points, filters) = (Points::new(tiles), Points::new(channels.len()));
        let mut segments = Vec::with_capacity(channels.len().div_ceil(PANEL));
        for point in 0..POINTS {
            segments.clear();
            segments.extend(channels.clone().step_by(PANEL).map(|channel| Segment {
                a: channel / PANEL * points.len() + points.at(point, 0),
                b: filters.at(point, channel - channels.start),
                len: PANEL.min(channels.end - channel),
            }));
            let start = points.at(point, 0);
            let mut out = Block::new(&mut self.products[start..][..tiles * PANEL], PANEL);
            let left = Left::Rows { stride: PANEL };
            let product = Product {
                a: self.points,
                left,
                b: self.filter,
                b_stride: PANEL,
                segments: &segments,
            };
            let (out, add) = (&mut out, channels.start > 0);
            micro::multiply(simd, product, Target { out, row: 0, step: 1, rows: tiles, add });
        }
    }
}

/// Sums the products of some channels of transformed inputs and one panel of transformed gradients
/// over tiles.
struct SumPanel<'a> {
    channels: Range<usize>,
    tiles: usize,
    points: &'a [f32],
    grads: &'a [f32],
    sum: &'a mut [f32],
    add: bool,
}

impl WithSimd for SumPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { channels, tiles, .. } = self;
        let (points, sums) = (Points::new(tiles), Points::new(channels.len()));
        let left = Left::Columns { stride: PANEL };
        for point in 0..POINTS {
            let start = sums.at(point, 0);
            let sum = &mut self.sum[start..][..channels.len() * PANEL];
            let mut out = Block::new(sum, PANEL);
            for channel in channels.clone().step_by(PANEL) {
                let segments = [Segment {
                    a: channel / PANEL * points.len() + points.at(point, 0),
                    b: points.at(point, 0),
                    len: tiles,
                }];
                let product = Product {
                    a: self.points,
                    left,
                    b: self.grads,
                    b_stride: PANEL,
                    segments: &segments,
                };
                let rows = PANEL.min(channels.end - channel);
                let (row, add, out) = (channel - channels.start, self.add, &mut out);
                micro::multiply(simd, product, Target { out, row, step: 1, rows, add });
            }
        }
    }
}
