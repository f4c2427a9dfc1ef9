//! u^T Q u of every row u, and its gradients, in f32.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::matmul::padded::{Rows, add_transposed, multiply, padded};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Rows of one task; the gradients of tasks are added in order.
const SECTION: usize = 512;
/// Rows multiplied together.
const BAND: usize = 64;

/// A square matrix (width, width) with rows padded.
fn pack(q: &[f32], width: usize, transposed: bool) -> Scratch {
    let stride = padded(width);
    let mut packed = Scratch::new(width * stride);
    packed.fill(0.0);
    for (i, row) in q.chunks_exact(width).enumerate() {
        for (j, value) in row.iter().enumerate() {
            let index = if transposed { j * stride + i } else { i * stride + j };
            packed[index] = *value;
        }
    }
    packed
}

/// The values (N,) of `u` (N, width) and `q` (width, width).
pub(crate) fn forward(u: &[f32], q: &[f32], width: usize) -> Vec<f32> {
    let q = pack(q, width, false);
    let mut y = vec![0.0; u.len() / width];
    let sections = y.par_chunks_mut(SECTION).zip(u.par_chunks(SECTION * width));
    sections.fork(|(y, u)| run(Forward { u, q: &q, width, y }));
    y
}

/// The gradient of q, and of u if asked for, from that of the values (N,).
pub(crate) fn backward(
    u: &[f32],
    q: &[f32],
    width: usize,
    gradient: &[f32],
    of_u: bool,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let packed = [pack(q, width, false), pack(q, width, true)];
    let mut du = vec![0.0; if of_u { u.len() } else { 0 }];
    let mut du_parts = du.chunks_mut(SECTION * width);
    let sections: Vec<Backward<'_>> = u
        .chunks(SECTION * width)
        .zip(gradient.chunks(SECTION))
        .map(|(u, gradient)| {
            let du = du_parts.next();
            Backward { u, q: &packed, width, gradient, du }
        })
        .collect();
    let sums: Vec<Scratch> = sections.into_par_iter().gather(run);
    let mut dq = vec![0.0; width * width];
    for sum in sums {
        for (total, sum) in dq.chunks_exact_mut(width).zip(sum.chunks_exact(padded(width))) {
            total.iter_mut().zip(sum).for_each(|(total, value)| *total += value);
        }
    }
    (dq, of_u.then_some(du))
}

struct Forward<'a> {
    u: &'a [f32],
    q: &'a [f32],
    width: usize,
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { u, q, width, y } = self;
        let stride = padded(width);
        let mut product = Scratch::new(BAND * stride);
        for (u, y) in u.chunks(BAND * width).zip(y.chunks_mut(BAND)) {
            let left = Rows { values: u, stride: width, width };
            let product = &mut product[..y.len() * stride];
            multiply(simd, left, q, stride, product);
            let rows = u.chunks_exact(width).zip(product.chunks_exact(stride));
            for (y, (u, product)) in y.iter_mut().zip(rows) {
                let mut sum = 0.0;
                for (u, product) in u.iter().zip(product) {
                    sum += *u * *product;
                }
                *y = sum;
            }
        }
    }
}

/// dQ = sum g u u^T; du = g (Q + Q^T) u.
struct Backward<'a> {
    u: &'a [f32],
    /// Q and its transpose.
    q: &'a [Scratch; 2],
    width: usize,
    gradient: &'a [f32],
    du: Option<&'a mut [f32]>,
}

impl WithSimd for Backward<'_> {
    type Output = Scratch;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Scratch {
        let width = self.width;
        let stride = padded(width);
        let mut sum = Scratch::new(width * stride);
        sum.fill(0.0);
        let mut weighted = Scratch::new(BAND * stride);
        let mut first = 0;
        for (u, g) in self.u.chunks(BAND * width).zip(self.gradient.chunks(BAND)) {
            let count = g.len();
            let left = Rows { values: u, stride: width, width };
            let weighted = &mut weighted[..count * stride];
            let rows = u.chunks_exact(width).zip(g);
            for (weighted, (u, g)) in weighted.chunks_exact_mut(stride).zip(rows) {
                for (weighted, u) in weighted[..width].iter_mut().zip(u) {
                    *weighted = *g * *u;
                }
                weighted[width..].fill(0.0);
            }
            add_transposed(simd, left, count, weighted, stride, &mut sum);
            if let Some(du) = &mut self.du {
                let du = &mut du[first * width..][..count * width];
                for (number, q) in self.q.iter().enumerate() {
                    multiply(simd, left, q, stride, weighted);
                    let rows = weighted.chunks_exact(stride).zip(g);
                    for (du, (product, g)) in du.chunks_exact_mut(width).zip(rows) {
                        for (du, product) in du.iter_mut().zip(product) {
                            let before = if number == 0 { 0.0 } else { *du };
                            *du = before + *g * *product;
                        }
                    }
                }
            }
            first += count;
        }
        sum
    }
}
