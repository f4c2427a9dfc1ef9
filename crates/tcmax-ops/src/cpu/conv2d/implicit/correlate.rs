//! The forward pass and the gradient of the input: sums over the taps that each target sees.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::implicit::runs::Run;
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target, most_rows};
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Tasks that a pass is cut into at least: bands of lines, each with every panel of columns.
const TASKS: usize = 64;

/// Images (B, H, W, channels) and filters in panels, of which each target pixel sums some taps.
pub(super) struct Correlation<'a> {
    pub(super) batch: usize,
    pub(super) source: &'a [f32],
    /// (H, W) of the source.
    pub(super) size: (usize, usize),
    pub(super) channels: usize,
    pub(super) filters: &'a [f32],
    /// From a panel of filters to the next.
    pub(super) panel_step: usize,
    /// From the filters of a tap to those of the next.
    pub(super) tap_step: usize,
    /// Taps of a kernel's row.
    pub(super) kernel_width: usize,
    /// (H', W') of the target.
    pub(super) target: (usize, usize),
    /// The columns of the target.
    pub(super) columns: Vec<Run>,
}

/// Lines of every image that tasks compute.
struct Band {
    first: usize,
    rows: Vec<Run>,
}

impl Correlation<'_> {
    /// Writes the target, rows of pixels; `runs` are those of some of its lines.
    pub(super) fn run(&self, out: Block<'_>, runs: impl Fn(Range<usize>) -> Vec<Run>) {
        let (height, width) = self.target;
        let wanted = TASKS.div_ceil(out.columns().div_ceil(PANEL));
        let count = wanted.div_ceil(self.batch).min(height);
        let edge = |band: usize| band * height / count;
        let bands: Vec<Band> = (0..count)
            .map(|band| Band { first: edge(band), rows: runs(edge(band)..edge(band + 1)) })
            .collect();
        let lines = |number: usize| edge(number % count + 1) - edge(number % count);
        let outputs = out.row_bands((0..self.batch * count).map(|number| lines(number) * width));
        let tasks = outputs.into_iter().enumerate().flat_map(|(number, out)| {
            let panels = out.column_panels(PANEL).into_iter().enumerate();
            panels.map(move |(panel, out)| (number, panel, out))
        });
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().fork(|(number, panel, out)| {
            let (image, band) = (number / count, &bands[number % count]);
            run(Part { of: self, image, band, panel, out });
        });
    }

    /// Where the sources under the first target of two runs begin, with the filters of their taps; taps that lie side by
    /// side on both are one.
    fn segments(&self, rows: &Run, columns: &Run, (image, panel): (usize, usize)) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::with_capacity(rows.taps.len() * columns.taps.len());
        for (u, row) in &rows.taps {
            for (v, column) in &columns.taps {
                let pixel = (image * self.size.0 + row) * self.size.1 + column;
                let tap = u * self.kernel_width + v;
                let a = pixel * self.channels;
                let b = panel * self.panel_step + tap * self.tap_step;
                match segments.last_mut() {
                    Some(last) if last.a + last.len == a && last.b + last.len * PANEL == b => {
                        last.len += self.channels;
                    }
                    _ => segments.push(Segment { a, b, len: self.channels }),
                }
            }
        }
        segments
    }
}

/// Some lines of an image and a panel of their channels.
struct Part<'a, 'b> {
    of: &'a Correlation<'a>,
    image: usize,
    band: &'a Band,
    panel: usize,
    out: Block<'b>,
}

/// A run of the targets of a part: how far it is from one to the next, in the source's floats and in the part's rows.
struct Axis {
    count: usize,
    source: usize,
    target: usize,
}

impl WithSimd for Part<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (line, width) = (self.of.size.1 * self.of.channels, self.of.target.1);
        let products =
            |rows: &Axis, lines: &Axis| lines.count * rows.count.div_ceil(most_rows::<S>());
        for rows in &self.band.rows {
            for columns in &self.of.columns {
                let mut segments = self.of.segments(rows, columns, (self.image, self.panel));
                let first = (rows.first - self.band.first) * width + columns.first;
                let [down, across] = [(rows, line, width), (columns, self.of.channels, 1)].map(
                    |(run, source, target)| Axis {
                        count: run.count,
                        source: run.advance * source,
                        target: run.step * target,
                    },
                );
                // The rows of a product are pixels of a line, or, along the border, of a column.
                let [rows, lines] = match products(&across, &down) <= products(&down, &across) {
                    true => [across, down],
                    false => [down, across],
                };
                for number in 0..lines.count {
                    let product = Product {
                        a: self.of.source,
                        left: Left::Rows { stride: rows.source },
                        b: self.of.filters,
                        b_stride: PANEL,
                        segments: &segments,
                    };
                    let row = first + number * lines.target;
                    let (out, step, rows) = (&mut self.out, rows.target, rows.count);
                    micro::multiply(simd, product, Target { out, row, step, rows, add: false });
                    segments.iter_mut().for_each(|segment| segment.a += lines.source);
                }
            }
        }
    }
}
