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
//! Tasks are bands of tiles, panels of columns, and inside these parts of tiles and groups of points.

mod products;
mod tiles;
mod transform;

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::conv2d::winograd::products::{add_products, multiply};
use crate::cpu::conv2d::winograd::tiles::{
    Bank, FilterGradPanel, FilterPanel, GradPanel, Grid, InputPanel, OutputPanel, POINTS, Points,
};
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::PANEL;
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::matmul::transpose::transposed_panel;
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Tiles of a band: with 64 channels half a megabyte of transformed input.
const BAND_TILES: usize = 56;

/// Up to this number, all tiles are taken at once rather than in bands.
const ALL_TILES: usize = 140;

/// Tiles, or rows of filters, that a task transforms.
const TRANSFORMED_AT_ONCE: usize = 8;

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

    /// Groups of bands, each of which sums a weight gradient. The result's bits depend on it.
    fn groups(&self) -> usize {
        // Of many channels the sums are large, and there are panels enough for tasks.
        if self.from.max(self.to) <= 64 { 8 } else { 4 }
    }

    /// Rows of tiles of each band; `None` where all tiles are taken at once.
    fn bands(&self) -> Option<Vec<Range<usize>>> {
        let grid = self.grid();
        if grid.tiles() <= ALL_TILES {
            return None;
        }
        let most = (BAND_TILES / grid.across()).max(1);
        // A multiple of the groups where there are many, so that groups are equally long.
        let count = grid.rows().div_ceil(most).next_multiple_of(self.groups()).min(grid.rows());
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
                let taps = packed.par_chunks_mut(from * PANEL);
                taps.zip(values.par_chunks(from * shape.to).rev()).fork(|(out, tap)| {
                    let rows = &tap[columns.start * from..columns.end * from];
                    transposed_panel(rows, from, out);
                });
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
        each_part(rows, out, |rows, out| {
            run(FilterPanel { bank, rows, columns: self.columns.clone(), out });
        });
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
    transformed.par_chunks_mut(filter_len).enumerate().fork(|(panel, out)| {
        Panel::new(shape, filters, panel).transform(0..shape.from, out);
    });
    let heights =
        bands.iter().map(|band| grid.pixels_before(band.end) - grid.pixels_before(band.start));
    let outputs = Block::unwritten(y, shape.to).row_bands(heights);
    let transformed = &transformed[..];
    bands.par_iter().zip(outputs).fork(|(band, out)| {
        let tiles = band.start * grid.across()..band.end * grid.across();
        let points = input_points(grid, (x, shape.from), tiles.clone());
        let panels = transformed.par_chunks(filter_len).zip(out.column_panels(PANEL));
        panels.fork(|(filter, out)| {
            let mut products = Scratch::new(Points::new(tiles.len()).len());
            let (channels, tiles) = (0..shape.from, tiles.clone());
            multiply(tiles.len(), &channels, (&points, filter), &mut products);
            run(OutputPanel { grid, of: tiles.clone(), tiles, products: &products, out });
        });
    });
}

/// Calls `task` with parts of tiles or of rows of filters, and where their points go.
fn each_part(
    whole: Range<usize>,
    panel: &mut [f32],
    task: impl Fn(Range<usize>, Block<'_>) + Sync + Send,
) {
    let blocks = Points::new(whole.len()).blocks(panel, TRANSFORMED_AT_ONCE);
    let starts: Vec<usize> = whole.clone().step_by(TRANSFORMED_AT_ONCE).collect();
    starts.into_par_iter().zip(blocks).fork(|(start, block)| {
        task(start..whole.end.min(start + TRANSFORMED_AT_ONCE), block);
    });
}

/// The transformed tiles of all channels, panel by panel.
fn input_points(grid: Grid, source: (&[f32], usize), tiles: Range<usize>) -> Scratch {
    let len = Points::new(tiles.len()).len();
    let mut points = Scratch::new(source.1.div_ceil(PANEL) * len);
    points.par_chunks_mut(len).enumerate().fork(|(panel, out)| {
        each_part(tiles.clone(), out, |tiles, out| {
            run(InputPanel { grid, source, tiles, panel, out });
        });
    });
    points
}

fn forward_at_once(shape: &Same3x3, x: &[f32], filters: Filters<'_>, y: &mut [MaybeUninit<f32>]) {
    let grid = shape.grid();
    let points = input_points(grid, (x, shape.from), 0..grid.tiles());
    let panels = Block::unwritten(y, shape.to).column_panels(PANEL);
    panels.into_par_iter().enumerate().fork(|(panel, out)| {
        let filters = Panel::new(shape, filters, panel);
        let mut products = Scratch::new(Points::new(grid.tiles()).len());
        for channels in blocks(shape.from) {
            let mut filter = Scratch::new(Points::new(channels.len()).len());
            filters.transform(channels.clone(), &mut filter);
            multiply(grid.tiles(), &channels, (&points, &filter), &mut products);
        }
        output(grid, &products, out);
    });
}

/// Transforms the products of all tiles back into one panel of the output.
fn output(grid: Grid, products: &[f32], out: Block<'_>) {
    let rows_at_once = TRANSFORMED_AT_ONCE.div_ceil(grid.across());
    let starts: Vec<usize> = (0..grid.rows()).step_by(rows_at_once).collect();
    let end = |start: usize| grid.rows().min(start + rows_at_once);
    let heights =
        starts.iter().map(|start| grid.pixels_before(end(*start)) - grid.pixels_before(*start));
    let outputs = out.row_bands(heights);
    starts.par_iter().zip(outputs).fork(|(start, out)| {
        let tiles = start * grid.across()..end(*start) * grid.across();
        run(OutputPanel { grid, of: 0..grid.tiles(), tiles, products, out });
    });
}

/// Ranges of rows that are transformed together; their starts are multiples of [`PANEL`].
fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS_AT_ONCE).map(move |start| start..rows.min(start + ROWS_AT_ONCE))
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
    let groups = bands.par_chunks(bands.len().div_ceil(shape.groups()));
    let mut sums: Vec<Scratch> =
        (0..groups.len()).map(|_| Scratch::new(panels * sum_len)).collect();
    sums.par_iter_mut().zip(groups).fork(|(sums, bands)| {
        for (number, band) in bands.iter().enumerate() {
            let tiles = band.start * grid.across()..band.end * grid.across();
            let points = input_points(grid, (x, shape.from), tiles.clone());
            sums.par_chunks_mut(sum_len).enumerate().fork(|(panel, sum)| {
                let grads = grad_points(grid, (grad, shape.to), tiles.clone(), panel);
                add_products(&(0..shape.from), tiles.len(), (&points, &grads), sum, number > 0);
            });
        }
    });
    let (total, rest) = sums.split_at_mut(1);
    let out = Block::unwritten(dw, shape.to).column_panels(PANEL);
    let totals = total[0].par_chunks_mut(sum_len).zip(out).enumerate();
    totals.fork(|(panel, (total, out))| {
        let at_once = sum_len / POINTS;
        total.par_chunks_mut(at_once).enumerate().fork(|(point, total)| {
            for sums in rest.iter() {
                let sums = &sums[panel * sum_len + point * at_once..];
                total.iter_mut().zip(sums).for_each(|(total, sum)| *total += *sum);
            }
        });
        let total = &*total;
        rows_of_taps(out, shape.from, TRANSFORMED_AT_ONCE).into_par_iter().fork(|(first, taps)| {
            run(FilterGradPanel { sum: (total, shape.from), first, taps });
        });
    });
}

/// The gradient of filters (3, 3, from; columns), cut after every `at_once` input channels: the first of
/// them, and their rows of each tap.
fn rows_of_taps(out: Block<'_>, from: usize, at_once: usize) -> Vec<(usize, Vec<Block<'_>>)> {
    let starts: Vec<usize> = (0..from).step_by(at_once).collect();
    let mut parts: Vec<_> = starts.iter().map(|start| (*start, Vec::with_capacity(9))).collect();
    for tap in out.row_bands([from; 9]) {
        let bands = tap.row_bands(starts.iter().map(|start| at_once.min(from - start)));
        parts.iter_mut().zip(bands).for_each(|((_, taps), band)| taps.push(band));
    }
    parts
}

/// The transformed gradients of some tiles, of one panel.
fn grad_points(grid: Grid, source: (&[f32], usize), tiles: Range<usize>, panel: usize) -> Scratch {
    let mut grads = Scratch::new(Points::new(tiles.len()).len());
    each_part(tiles, &mut grads, |tiles, out| {
        run(GradPanel { grid, source, tiles, panel, out });
    });
    grads
}

fn weight_grad_at_once(shape: &Same3x3, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    let grid = shape.grid();
    let points = input_points(grid, (x, shape.from), 0..grid.tiles());
    let panels = Block::unwritten(dw, shape.to).column_panels(PANEL);
    panels.into_par_iter().enumerate().fork(|(panel, out)| {
        let grads = grad_points(grid, (grad, shape.to), 0..grid.tiles(), panel);
        let parts = rows_of_taps(out, shape.from, ROWS_AT_ONCE);
        parts.into_par_iter().fork(|(first, taps)| {
            let channels = first..first + taps[0].rows();
            let mut sum = Scratch::new(Points::new(channels.len()).len());
            add_products(&channels, grid.tiles(), (&points, &grads), &mut sum, false);
            run(FilterGradPanel { sum: (&sum, channels.len()), first: 0, taps });
        });
    });
}
