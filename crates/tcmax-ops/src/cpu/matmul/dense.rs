//! Products of large matrices of f32, both sides packed.
//!
//! ```text
//! left    tiles of a few rows, step after step of the summed index, packed once
//! right   panels of 32 columns, a block of 128 steps at a time, packed by the task that reads it
//! ```
//!
//! A task makes a few neighbouring panels of the result. Sums are added in the order of the blocks, whatever
//! the number of threads. Source of the scheme: Goto and van de Geijn 2008.

use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::cpu::storage::written;

/// Steps of the summed index for which a panel of the right side and a tile of the left one stay in the
/// fastest cache.
const DEPTH: usize = 128;

/// Most panels of a task.
const PANELS_AT_ONCE: usize = 4;

/// One side of a product: a row-major matrix, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    values: &'a [f32],
    /// Columns of the matrix as it lies in memory.
    columns: usize,
    transposed: bool,
}

impl<'a> Side<'a> {
    /// A row-major matrix of so many columns.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && values.len().is_multiple_of(columns));
        Self { values, columns, transposed: false }
    }

    /// Rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn sizes(&self) -> (usize, usize) {
        let rows = self.values.len() / self.columns;
        if self.transposed { (self.columns, rows) } else { (rows, self.columns) }
    }

    /// Writes rows `first..first + count` of steps `steps` as `out[step * stride + row]`.
    fn pack_rows(&self, first: usize, count: usize, steps: usize, out: &mut [f32], stride: usize) {
        if self.transposed {
            self.copied(first, count, 0, steps, out, stride);
        } else {
            self.exchanged(first, count, 0, steps, out, stride);
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
            line[..width].copy_from_slice(&self.values[i * self.columns + column..][..width]);
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
        /// Columns whose lines stay in the cache.
        const FEW: usize = 16;
        let mut done = 0;
        while done < columns {
            let few = FEW.min(columns - done);
            for i in 0..rows {
                let source = &self.values[(row + i) * self.columns + column + done..][..few];
                for (j, value) in source.iter().enumerate() {
                    out[(done + j) * stride + i] = *value;
                }
            }
            done += few;
        }
    }
}

/// The product of two matrices, with `bias` added to every row where there is one.
pub(crate) fn multiply(left: Side<'_>, right: Side<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let ((rows, steps), (depth, columns)) = (left.sizes(), right.sizes());
    assert!(steps == depth && bias.is_none_or(|bias| bias.len() == columns));
    let tile = run(TileRows);
    let mut tiles = Scratch::new(rows.div_ceil(tile) * tile * steps);
    pack_tiles(left, rows, steps, tile, &mut tiles);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let panels = Block::unwritten(out, columns).column_panels(PANEL);
        let at_once = (panels.len() / 64).clamp(1, PANELS_AT_ONCE);
        let mut tasks: Vec<Vec<Block<'_>>> = Vec::new();
        for panel in panels {
            match tasks.last_mut() {
                Some(task) if task.len() < at_once => task.push(panel),
                _ => tasks.push(vec![panel]),
            }
        }
        tasks.into_par_iter().enumerate().for_each(|(number, panels)| {
            let first = number * at_once * PANEL;
            run(Panels { tiles: &tiles, tile, right, bias, rows, steps, first, panels });
        });
    };
    // SAFETY: the panels cover the result, and the first block of steps overwrites each of its values.
    unsafe { written(rows * columns, write) }
}

/// Packs all tiles of the left side: `out[step * tile + row]` of each.
fn pack_tiles(left: Side<'_>, rows: usize, steps: usize, tile: usize, tiles: &mut [f32]) {
    tiles.par_chunks_mut(tile * steps).enumerate().for_each(|(number, out)| {
        let first = number * tile;
        left.pack_rows(first, tile.min(rows - first), steps, out, tile);
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

struct Panels<'a, 'b> {
    tiles: &'a [f32],
    /// Rows of a tile.
    tile: usize,
    right: Side<'a>,
    bias: Option<&'a [f32]>,
    rows: usize,
    steps: usize,
    /// The first column of the first panel.
    first: usize,
    panels: Vec<Block<'b>>,
}

impl WithSimd for Panels<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, tile, right, bias, rows, steps, first, mut panels } = self;
        let mut packed = Scratch::new(DEPTH * PANEL);
        packed.fill(0.0);
        let mut step = 0;
        while step < steps {
            let depth = DEPTH.min(steps - step);
            for (number, out) in panels.iter_mut().enumerate() {
                let columns = [first + number * PANEL, out.columns()];
                right.pack_columns(columns, [step, depth], &mut packed, PANEL);
                for row in (0..rows).step_by(tile) {
                    let segment = Segment { a: row * steps + step * tile, b: 0, len: depth };
                    let product = Product {
                        a: tiles,
                        left: Left::Columns { stride: tile },
                        b: &packed,
                        b_stride: PANEL,
                        segments: &[segment],
                    };
                    let count = tile.min(rows - row);
                    let target = Target { out, row, step: 1, rows: count, add: step > 0 };
                    micro::multiply(simd, product, target);
                }
            }
            step += depth;
        }
        let Some(bias) = bias else { return };
        for (number, out) in panels.iter_mut().enumerate() {
            let width = out.columns();
            let bias = &bias[first + number * PANEL..][..width];
            for row in 0..rows {
                let start = out.pointer(row, 1, 1, 0, width);
                // SAFETY: `pointer` has checked that the row is this block's; all of it was written above.
                let values = unsafe { std::slice::from_raw_parts_mut(start, width) };
                for (value, bias) in values.iter_mut().zip(bias) {
                    *value += bias;
                }
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

    fn element(values: &[f32], columns: usize, transposed: bool, at: [usize; 2]) -> f64 {
        let [row, column] = if transposed { [at[1], at[0]] } else { at };
        f64::from(values[row * columns + column])
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
                let (a, b) = (matrix(rows, steps, 1), matrix(steps, columns, 2));
                let bias = matrix(1, columns, 3);
                let side = |values, columns, flip| match flip {
                    true => Side::new(values, columns).transposed(),
                    false => Side::new(values, columns),
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
