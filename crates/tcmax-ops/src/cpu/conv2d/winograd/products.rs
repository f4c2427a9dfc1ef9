//! The products of Winograd's algorithm, one matrix product at each of the 36 points.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::conv2d::winograd::tiles::Points;
use crate::cpu::matmul::block::Block;
use crate::cpu::matmul::micro::{self, Left, PANEL, Product, Segment, Target};
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Points whose products a task computes.
const POINTS_AT_ONCE: usize = 4;

/// Multiplies some channels of transformed tiles with one panel of filters, at all points.
pub(super) fn multiply(
    tiles: usize,
    channels: &Range<usize>,
    (points, filter): (&[f32], &[f32]),
    products: &mut [f32],
) {
    let len = Points::new(tiles).len_of(POINTS_AT_ONCE);
    products.par_chunks_mut(len).enumerate().fork(|(number, products)| {
        let (channels, first) = (channels.clone(), number * POINTS_AT_ONCE);
        run(Multiply { tiles, channels, points, filter, first, products });
    });
}

/// Sums the products of some channels of transformed inputs and one panel of transformed gradients, at all
/// points.
pub(super) fn add_products(
    channels: &Range<usize>,
    tiles: usize,
    (points, grads): (&[f32], &[f32]),
    sum: &mut [f32],
    add: bool,
) {
    let len = Points::new(channels.len()).len_of(POINTS_AT_ONCE);
    sum.par_chunks_mut(len).enumerate().fork(|(number, sum)| {
        let (channels, first) = (channels.clone(), number * POINTS_AT_ONCE);
        run(SumPanel { channels, tiles, points, grads, first, sum, add });
    });
}

/// Multiplies some channels of transformed tiles with one panel of filters, and adds the products to
/// those of the channels before.
struct Multiply<'a> {
    tiles: usize,
    channels: Range<usize>,
    points: &'a [f32],
    filter: &'a [f32],
    /// The first of the points of `products`.
    first: usize,
    products: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, channels, .. } = self;
        let (points, filters) = (Points::new(tiles), Points::new(channels.len()));
        let mut segments = Vec::with_capacity(channels.len().div_ceil(PANEL));
        for (number, products) in self.products.chunks_exact_mut(points.len_of(1)).enumerate() {
            let point = self.first + number;
            segments.clear();
            segments.extend(channels.clone().step_by(PANEL).map(|channel| Segment {
                a: channel / PANEL * points.len() + points.at(point, 0),
                b: filters.at(point, channel - channels.start),
                len: PANEL.min(channels.end - channel),
            }));
            let mut out = Block::new(&mut products[..tiles * PANEL], PANEL);
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
    /// The first of the points of `sum`.
    first: usize,
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
        for (number, sum) in self.sum.chunks_exact_mut(sums.len_of(1)).enumerate() {
            let point = self.first + number;
            let mut out = Block::new(&mut sum[..channels.len() * PANEL], PANEL);
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
