//! Attention, one head of one example at a time.

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::masked_softmax::{Seen, softmax, softmax_gradient};
use crate::cpu::matmul::plain::{Matrix, multiply};
use crate::tasks::Fork;

/// Rows that a thread copies at least.
const ROWS_AT_ONCE: usize = 8;

/// The sizes of queries (batch, queries, heads, width) and of keys and values (batch, keys, heads, width).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
}

/// Which keys a query sees: those that are there, (batch, keys), and with `causal` none after it.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    pub(crate) keys: Option<&'a [bool]>,
    pub(crate) causal: bool,
}

impl Geometry {
    fn features(&self) -> usize {
        self.heads * self.width
    }

    /// Rows of head `head % heads` of example `head / heads`.
    fn of_head<'a, T: Element>(&self, x: &'a [T], head: usize, rows: usize) -> Matrix<'a, T> {
        let (example, head) = (head / self.heads, head % self.heads);
        let start = example * rows * self.features() + head * self.width;
        Matrix::strided(&x[start..], rows, self.width, self.features())
    }

    /// (batch, heads, rows, width) to (batch, rows, heads, width).
    fn merged<T: Element>(&self, by_head: &[&[T]], rows: usize) -> Vec<T> {
        let mut merged = vec![T::zero(); self.batch * rows * self.features()];
        let lines = merged.par_chunks_mut(self.features()).with_min_len(ROWS_AT_ONCE).enumerate();
        lines.fork(|(number, line)| {
            let (example, row) = (number / rows, number % rows);
            let heads = &by_head[example * self.heads..][..self.heads];
            for (out, head) in line.chunks_exact_mut(self.width).zip(heads) {
                out.copy_from_slice(&head[row * self.width..][..self.width]);
            }
        });
        merged
    }
}

/// The results (batch, queries, heads, width) of queries, keys and values.
pub(crate) fn forward<T: Element>(of: &Geometry, x: [&[T]; 3], mask: Mask<'_>) -> Vec<T> {
    let compute = |head: usize| {
        let weights = weights(of, x, mask, head);
        let mut y = vec![T::zero(); of.queries * of.width];
        let weights = Matrix::new(&weights, of.queries, of.keys);
        multiply(&mut y, weights, of.of_head(x[2], head, of.keys), false);
        y
    };
    let heads: Vec<Vec<T>> = (0..of.batch * of.heads).into_par_iter().gather(compute);
    of.merged(&heads.iter().map(Vec::as_slice).collect::<Vec<_>>(), of.queries)
}

/// The gradients of queries, keys and values.
///
/// With P the weights: dV = P^T dY, dP = dY V^T, dS = P (dP - sum_j dP_j P_j), dQ = dS K / sqrt(d),
/// dK = dS^T Q / sqrt(d).
pub(crate) fn backward<T: Element>(
    of: &Geometry,
    x: [&[T]; 3],
    grad: &[T],
    mask: Mask<'_>,
) -> [Vec<T>; 3] {
    let [q, k, v] = x;
    let compute = |head: usize| {
        let weights = weights(of, x, mask, head);
        let matrix = Matrix::new(&weights, of.queries, of.keys);
        let dy = of.of_head(grad, head, of.queries);
        let mut dv = vec![T::zero(); of.keys * of.width];
        multiply(&mut dv, matrix.transposed(), dy, false);
        let mut scores = vec![T::zero(); of.queries * of.keys];
        multiply(&mut scores, dy, of.of_head(v, head, of.keys).transposed(), false);
        softmax_gradient(&weights, &mut scores, of.keys, scale(of));
        let scores = Matrix::new(&scores, of.queries, of.keys);
        let mut dq = vec![T::zero(); of.queries * of.width];
        multiply(&mut dq, scores, of.of_head(k, head, of.keys), false);
        let mut dk = vec![T::zero(); of.keys * of.width];
        multiply(&mut dk, scores.transposed(), of.of_head(q, head, of.queries), false);
        [dq, dk, dv]
    };
    let heads: Vec<[Vec<T>; 3]> = (0..of.batch * of.heads).into_par_iter().gather(compute);
    let merged = |which: usize, rows: usize| {
        of.merged(&heads.iter().map(|head| head[which].as_slice()).collect::<Vec<_>>(), rows)
    };
    [merged(0, of.queries), merged(1, of.keys), merged(2, of.keys)]
}

/// 1 / sqrt(d).
fn scale<T: Element>(of: &Geometry) -> T {
    T::from_f64(1.0 / (of.width as f64).sqrt())
}

/// The weights (queries, keys) of one head of one example: rows that sum to 1, or to 0 without a key.
fn weights<T: Element>(of: &Geometry, x: [&[T]; 3], mask: Mask<'_>, head: usize) -> Vec<T> {
    let mut scores = vec![T::zero(); of.queries * of.keys];
    let keys = of.of_head(x[1], head, of.keys).transposed();
    multiply(&mut scores, of.of_head(x[0], head, of.queries), keys, false);
    let there = mask.keys.map(|keys| &keys[head / of.heads * of.keys..][..of.keys]);
    softmax(&mut scores, of.keys, Seen { there, causal: mask.causal }, scale(of));
    scores
}
