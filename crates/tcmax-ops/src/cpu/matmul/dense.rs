//! Products of large matrices of f32, both sides packed.
//!
//! ```text
//! left    tiles of a few rows, step after step of the summed index, packed once
//! right   panels of a few columns, a block of 256 steps at a time, packed by the task that reads it
//! ```
//!
//! A task makes a few neighbouring columns of the result. For each block of steps it takes bands of tiles that
//! stay in the second cache, and panels that stay in the first. Sums are added in the order of the blocks,
//! whatever the number of threads. Source of the scheme: Goto and van de Geijn 2008.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::matmul::transpose::transpose;
use crate::cpu::simd::run;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Steps of the summed index for which a panel of the right side stays in the fastest cache, and a band of the
/// left one in the next.
const DEPTH: usize = 256;

/// Rows of a band, at most.
const BAND: usize = 192;

/// One side of a product: a row-major matrix or some of its columns, or the transpose.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    /// From the first of the columns on.
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From a row to the next.
    stride: usize,
    transposed: bool,
}

impl<'a> Side<'a> {
    /// These columns of a row-major matrix of `stride` columns.
    pub(crate) fn new(values: &'a [f32], stride: usize, columns: Range<usize>) -> Self {
        assert!(values.len().is_multiple_of(stride));
        assert!(!columns.is_empty() && columns.end <= stride);
        let (rows, values) = (values.len() / stride, &values[columns.start..]);
        Self { values, rows, columns: columns.len(), stride, transposed: false }
    }

    /// Rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn sizes(&self) -> (usize, usize) {
        let Self { rows, columns, .. } = *self;
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }

    /// Writes rows `first..first + count` of `steps` steps from `step` on, in tiles of `tile` rows:
    /// `out[(step - first step) * tile + row]` of each.
    fn pack_rows(
        &self,
        [first, count]: [usize; 2],
        [step, steps]: [usize; 2],
        out: &mut [f32],
        tile: usize,
    ) {
        if !self.transposed {
            for (number, out) in out.chunks_exact_mut(tile * steps).enumerate() {
                let done = number * tile;
                let rows = tile.min(count - done);
                self.exchanged(first + done, rows, step, steps, out, tile);
            }
            return;
        }
        for place in 0..steps {
            let line = &self.values[(step + place) * self.stride + first..][..count];
            for (number, values) in line.chunks(tile).enumerate() {
                copy(values, &mut out[(number * steps + place) * tile..][..values.len()]);
            }
        }
    }

    /// Writes columns `first..first + count` of `steps` steps from `step` on as `out[step * stride + column]`.
    fn pack_columns(
        &self,
        [first, count]: [usize; 2],
        [step, steps]: [usize; 2],
        out: &mut [f32],
        stride: usize,
    ) {
        if self.transposed {
            self.exchanged(first, count, step, steps, out, stride);
        } else {
            self.copied(first, count, step, steps, out, stride);
        }
    }

    /// `out[i * stride + j] = values[(row + i), (column + j)]`.
    fn copied(
        &self,
        column: usize,
        width: usize,
        row: usize,
        rows: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        for (line, i) in out.chunks_exact_mut(stride).zip(row..row + rows) {
            copy(&self.values[i * self.stride + column..][..width], &mut line[..width]);
        }
    }

    /// `out[j * stride + i] = values[(row + i), (column + j)]`.
    fn exchanged(
        &self,
        row: usize,
        rows: usize,
        column: usize,
        columns: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        let source = &self.values[row * self.stride + column..];
        transpose(source, self.stride, [rows, columns], out, stride);
    }
}

/// Copies a few values, without a call.
#[inline(always)]
fn copy(from: &[f32], to: &mut [f32]) {
    let ((from, rest), (to, rest_to)) = (from.as_chunks::<4>(), to.as_chunks_mut::<4>());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in rest_to.iter_mut().zip(rest) {
        *to = *from;
    }
}

/// The product of two matrices, with `bias` added to every row where there is one.
pub(crate) fn multiply(left: Side<'_>, right: Side<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let ((rows, steps), (depth, columns)) = (left.sizes(), right.sizes());
    assert!(steps == depth && steps > 0 && bias.is_none_or(|bias| bias.len() == columns));
    let tile = run(TileRows);
    let width = task_width(columns);
    let band = (BAND / tile).max(1) * tile;
    let mut tiles = Scratch::new(rows.div_ceil(tile) * tile * DEPTH.min(steps));
    let write = |out: &mut [MaybeUninit<f32>]| {
        for step in (0..steps).step_by(DEPTH) {
            let block = [step, DEPTH.min(steps - step)];
            let tiles = &mut tiles[..rows.div_ceil(tile) * tile * block[1]];
            pack_tiles(left, rows, block, tile, tiles);
            let bias = bias.filter(|_| step + block[1] == steps);
            let tasks = Block::unwritten(out, columns).column_panels(width);
            tasks.into_par_iter().enumerate().fork(|(number, out)| {
                let first = number * width;
                let panels = run(Pack { right, block, columns: [first, out.columns()] });
                let panels = &panels[..];
                let bias = bias.map(|bias| &bias[first..][..out.columns()]);
                let starts = (0..rows).step_by(band).collect::<Vec<_>>();
                let heights = starts.iter().map(|start| band.min(rows - start));
                let bands = out.row_bands(heights);
                starts.into_par_iter().zip(bands).fork(|(row, out)| {
                    run(Band { tiles, tile, panels, bias, block, row, out });
                });
            });
        }
    };
    // SAFETY: the tasks cover the result, and the first block of steps overwrites each of its values.
    unsafe { written(rows * columns, write) }
}

/// Packs a block of steps of the left side in tiles: `out[step * tile + row]` of each.
fn pack_tiles(left: Side<'_>, rows: usize, block: [usize; 2], tile: usize, tiles: &mut [f32]) {
    /// Tiles of a task: of a transposed side, neighbours are read from the same cache lines.
    const TILES: usize = 4;
    tiles.par_chunks_mut(TILES * tile * block[1]).enumerate().fork(|(number, out)| {
        let first = number * TILES * tile;
        left.pack_rows([first, (TILES * tile).min(rows - first)], block, out, tile);
    });
}

/// The rows of a packed tile: so many, or twice as many, as have their sums in the registers.
struct TileRows;

impl WithSimd for TileRows {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let most = micro::most_rows::<S>();
        if most < 12 { 2 * most } else { most }
    }
}

/// The columns of a task: many, so that the left side is read seldom, in few enough tasks for many cores.
fn task_width(columns: usize) -> usize {
    (columns / 16 / PANEL * PANEL).clamp(PANEL, 4 * PANEL)
}

/// The columns of a packed panel: as many as have their sums in the registers.
#[inline(always)]
fn panel_width<S: Simd>() -> usize {
    (2 * S::F32_LANES).clamp(16, PANEL)
}

/// Packs some columns of the right side, panel after panel, for a block of steps.
struct Pack<'a> {
    right: Side<'a>,
    /// The first step and the number of steps.
    block: [usize; 2],
    /// The first column and the number of columns.
    columns: [usize; 2],
}

impl WithSimd for Pack<'_> {
    type Output = Scratch;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Scratch {
        let Self { right, block, columns: [first, count] } = self;
        let panel = panel_width::<S>();
        let mut packed = Scratch::new(count.div_ceil(panel) * block[1] * panel);
        for (number, out) in packed.chunks_exact_mut(block[1] * panel).enumerate() {
            let start = number * panel;
            let width = panel.min(count - start);
            if width < panel {
                // Columns that are not there are read, and their sums are not kept.
                out.fill(0.0);
            }
            right.pack_columns([first + start, width], block, out, panel);
        }
        packed
    }
}

/// A band of rows of some neighbouring columns of a product, for a block of steps.
struct Band<'a, 'b> {
    tiles: &'a [f32],
    /// Rows of a tile.
    tile: usize,
    /// The columns of the right side.
    panels: &'a [f32],
    /// Added after the last block.
    bias: Option<&'a [f32]>,
    /// The first step and the number of steps.
    block: [usize; 2],
    /// The first row.
    row: usize,
    out: Block<'b>,
}

impl WithSimd for Band<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let panel = panel_width::<S>();
        for (number, packed) in self.panels.chunks_exact(self.block[1] * panel).enumerate() {
            self.multiply(simd, packed, [number * panel, panel]);
        }
        self.add_bias();
    }
}

impl Band<'_, '_> {
    /// The product with a panel.
    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, packed: &[f32], [column, panel]: [usize; 2]) {
        let [step, steps] = self.block;
        let mut out = self.out.columns_mut([column, panel.min(self.out.columns() - column)]);
        for row in (0..out.rows()).step_by(self.tile) {
            let count = self.tile.min(out.rows() - row);
            (row..row + count).for_each(|row| out.prefetch(row));
            let segment = Segment { a: (self.row + row) * steps, b: 0, len: steps };
            let product = Product {
                a: self.tiles,
                left: Left::Columns { stride: self.tile },
                b: packed,
                b_stride: panel,
                segments: &[segment],
            };
            let target = Target { out: &mut out, row, step: 1, rows: count, add: step > 0 };
            micro::multiply(simd, product, target);
        }
    }

    fn add_bias(&mut self) {
        let Some(bias) = self.bias else { return };
        for row in 0..self.out.rows() {
            let start = self.out.pointer(row, 1, 1, 0, bias.len());
            // SAFETY: `pointer` has checked that the row is this block's; all of it was written before.
            let values = unsafe { std::slice::from_raw_parts_mut(start, bias.len()) };
            for (value, bias) in values.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, seed: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * 37 + seed * 11) % 19) as f32 - 9.0).collect()
    }

    /// Columns of a matrix before those of a side, and after them.
    const AROUND: [usize; 2] = [3, 2];

    fn element(values: &[f32], columns: usize, transposed: bool, at: [usize; 2]) -> f64 {
        let [row, column] = if transposed { [at[1], at[0]] } else { at };
        f64::from(values[row * (columns + AROUND[0] + AROUND[1]) + AROUND[0] + column])
    }

    #[test]
    fn products_of_any_shape_are_those_of_the_definition() {
        for [rows, steps, columns] in
            [[1, 1, 1], [3, 5, 7], [14, 256, 32], [15, 257, 33], [40, 600, 70], [29, 3, 200]]
        {
            for (flip_left, flip_right) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let left_columns = if flip_left { rows } else { steps };
                let right_columns = if flip_right { steps } else { columns };
                let around = AROUND[0] + AROUND[1];
                let a = matrix(rows * steps / left_columns, left_columns + around, 1);
                let b = matrix(steps * columns / right_columns, right_columns + around, 2);
                let bias = matrix(1, columns, 3);
                let side = |values, columns, flip| {
                    let side = Side::new(values, columns + around, AROUND[0]..AROUND[0] + columns);
                    if flip { side.transposed() } else { side }
                };
                let left = side(&a, left_columns, flip_left);
                let right = side(&b, right_columns, flip_right);
                let got = multiply(left, right, Some(&bias));
                for (row, column) in [(0, 0), (rows - 1, columns - 1), (rows / 2, columns / 2)] {
                    let terms = (0..steps).map(|k| {
                        element(&a, left_columns, flip_left, [row, k])
                            * element(&b, right_columns, flip_right, [k, column])
                    });
                    let wanted = terms.sum::<f64>() + f64::from(bias[column]);
                    // Whole numbers: exact in f32.
                    assert_eq!(f64::from(got[row * columns + column]), wanted);
                }
            }
        }
    }
}
