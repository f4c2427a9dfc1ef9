//! The gradient of the filters: sums over all output positions.
//!
//! A small gradient is summed by groups of output lines at the same time, then the groups are added in order; of a
//! large one each task sums some rows and columns over all lines. Which, and into how many parts, follows
//! from the shape alone.

use std::mem::MaybeUninit;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::implicit::border::with_border;
use crate::cpu::conv2d::implicit::packing::packed;
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::geometry::{ConvShape, Window};
use crate::tasks::Fork;

/// Output positions whose products are summed before the next: their gradients stay in the second-level cache.
const POSITIONS_AT_ONCE: usize = 512;

/// Tasks of a small gradient.
const TASKS: usize = 64;

/// Input channels that are few: their taps are summed together, and the images copied with a border of zeros, since
/// without it the taps along an image's side meet other positions than the rest.
const FEW: usize = 64;

/// Values of a gradient that is small.
const SMALL: usize = 1 << 17;

/// Multiplications of a task of a small gradient, at least.
const WORK: usize = 1 << 18;

/// Rows of a large gradient that a task sums.
const ROWS_AT_ONCE: usize = 128;

/// Values that a task adds of all groups.
const ADDED_AT_ONCE: usize = 1024;

/// dw (K_h, K_w, from, to) of x (B, H, W, from) and dy (B, H', W', to).
pub(super) fn weight_grad(shape: &ConvShape, x: &[f32], grad: &[f32], dw: &mut [MaybeUninit<f32>]) {
    let bordered =
        (shape.from < FEW && shape.window.padding != (0, 0)).then(|| with_border(x, shape));
    let (x, shape) = bordered.as_ref().map_or((x, shape), |(x, shape)| (&x[..], shape));
    let columns = &columns(&shape.window);
    // Whole panels can be read in place.
    let packed = (!shape.to.is_multiple_of(PANEL)).then(|| packed(grad, shape.to));
    let right = match &packed {
        Some(panels) => {
            Right { values: panels, stride: PANEL, panel_step: grad.len() / shape.to * PANEL }
        }
        None => Right { values: grad, stride: shape.to, panel_step: PANEL },
    };
    let sum = |(lines, part): (Range<usize>, Part<'_>)| {
        run(Sum { shape, x, columns, right, lines, part });
    };
    let lines = shape.batch * shape.window.out.0;
    let groups = groups(shape);
    if groups == 1 {
        let parts = parts(shape, Block::unwritten(dw, shape.to));
        return parts.into_par_iter().fork(|part| sum((0..lines, part)));
    }
    let len = dw.len();
    let mut sums = Scratch::new(groups * len);
    let edge = |group: usize| group * lines / groups;
    let of_group = |(group, sums)| {
        let panels = Block::new(sums, shape.to).column_panels(PANEL).into_iter().enumerate();
        let lines = edge(group)..edge(group + 1);
        let part = |(panel, out)| Part { panel, rows: 0..shape.depth(), out };
        panels.map(part).map(move |part| (lines.clone(), part)).collect::<Vec<_>>()
    };
    let tasks: Vec<_> = sums.chunks_exact_mut(len).enumerate().flat_map(of_group).collect();
    tasks.into_par_iter().fork(sum);
    dw.par_chunks_mut(ADDED_AT_ONCE).enumerate().fork(|(number, out)| {
        let mut totals = [0.0; ADDED_AT_ONCE];
        for sums in sums.chunks_exact(len) {
            for (total, sum) in totals.iter_mut().zip(&sums[number * ADDED_AT_ONCE..]) {
                *total += sum;
            }
        }
        for (out, total) in out.iter_mut().zip(totals) {
            out.write(total);
        }
    });
}

/// The number of groups of lines.
fn groups(shape: &ConvShape) -> usize {
    let len = shape.depth() * shape.to;
    if len > SMALL {
        return 1;
    }
    let work = shape.batch * shape.window.positions() * len;
    let most = (TASKS / shape.to.div_ceil(PANEL)).min(shape.batch * shape.window.out.0);
    (work / WORK).clamp(1, most.max(1))
}

/// Some rows of the gradient, as a matrix (K_h K_w from, to), of one panel of columns.
struct Part<'a> {
    panel: usize,
    rows: Range<usize>,
    out: Block<'a>,
}

/// A large gradient, panel after panel.
fn parts<'a>(shape: &ConvShape, dw: Block<'a>) -> Vec<Part<'a>> {
    let taps = shape.window.kernel.1 * shape.from;
    let of_row = |u: usize| {
        let starts = (0..taps).step_by(ROWS_AT_ONCE);
        starts.map(move |start| u * taps + start..u * taps + taps.min(start + ROWS_AT_ONCE))
    };
    let rows: Vec<Range<usize>> = (0..shape.window.kernel.0).flat_map(of_row).collect();
    let of_panel = |(panel, out): (usize, Block<'a>)| {
        let parts = out.row_bands(rows.iter().map(Range::len)).into_iter().zip(&rows);
        parts.map(move |(out, rows)| Part { panel, rows: rows.clone(), out }).collect::<Vec<_>>()
    };
    dw.column_panels(PANEL).into_iter().enumerate().flat_map(of_panel).collect()
}

/// Neighbouring taps of a kernel's row that the same positions see inside the image.
struct Columns {
    taps: Range<usize>,
    positions: Range<usize>,
}

fn columns(window: &Window) -> Vec<Columns> {
    let mut columns: Vec<Columns> = Vec::new();
    for tap in 0..window.kernel.1 {
        let positions = window.inside(tap);
        match columns.last_mut().filter(|last| last.positions == positions) {
            Some(last) => last.taps.end += 1,
            None => columns.push(Columns { taps: tap..tap + 1, positions }),
        }
    }
    columns
}

/// The gradient of the output, packed in panels or not.
#[derive(Clone, Copy)]
struct Right<'a> {
    values: &'a [f32],
    /// From one position to the next.
    stride: usize,
    /// From one panel to the next.
    panel_step: usize,
}

/// Sums of a part over some output lines, counted through the batch.
struct Sum<'a, 'b> {
    shape: &'a ConvShape,
    x: &'a [f32],
    columns: &'a [Columns],
    right: Right<'a>,
    lines: Range<usize>,
    part: Part<'b>,
}

impl WithSimd for Sum<'_, '_> {
    type Output = ();

    /// All taps of some output lines before the next lines, so that the gradient is read once.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ConvShape { from, window, .. } = self.shape;
        let (right, lines) = (self.right, self.lines);
        let Part { panel, rows: part, mut out } = self.part;
        let (rows, line) = window.out;
        let left = Left::Columns { stride: window.stride.1 * from };
        let rows_at_once = (POSITIONS_AT_ONCE / line).clamp(1, rows);
        let taps = window.kernel.1 * from;
        let mut segments = Vec::with_capacity(rows_at_once);
        let mut first = lines.start;
        while first < lines.end {
            let (number, top) = (first / rows, first % rows);
            let bottom = rows.min(top + rows_at_once).min(top + lines.end - first);
            let add = first > lines.start;
            for u in part.start / taps..part.end.div_ceil(taps) {
                for Columns { taps: side, positions } in self.columns {
                    let begin = u * taps + side.start * from;
                    let end = u * taps + side.end * from;
                    let wanted = part.start.max(begin)..part.end.min(end);
                    if wanted.is_empty() {
                        continue;
                    }
                    segments.clear();
                    segments.extend((top..bottom).filter_map(|i| {
                        let row = window.row(i, u)?;
                        let column = window.column(positions.start, side.start)?;
                        let pixel = (number * window.image.0 + row) * window.image.1 + column;
                        let position = (number * rows + i) * line + positions.start;
                        Some(Segment {
                            a: pixel * from + wanted.start - begin,
                            b: panel * right.panel_step + position * right.stride,
                            len: positions.len(),
                        })
                    }));
                    let (b, b_stride) = (right.values, right.stride);
                    let product = Product { a: self.x, left, b, b_stride, segments: &segments };
                    let (row, rows) = (wanted.start - part.start, wanted.len());
                    let out = &mut out;
                    micro::multiply(simd, product, Target { out, row, step: 1, rows, add });
                }
            }
            first += bottom - top;
        }
    }
}
