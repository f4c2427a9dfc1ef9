//! Attention, one head of one example at a time.

use std::ops::Range;

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::masked_softmax::{Seen, softmax, softmax_gradient};
use crate::cpu::matmul::plain::{Matrix, multiply};
use crate::tasks::Fork;

/// Rows that a thread copies at least.
const ROWS_AT_ONCE: usize = 8;

/// Where the queries (rows, heads, width) and the keys and values (rows, heads, width) of all examples are.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) heads: usize,
    pub(crate) width: usize,
    /// One after the other.
    pub(crate) examples: Vec<Example>,
}

/// The rows of one example.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) queries: Range<usize>,
    pub(crate) keys: Range<usize>,
}

/// Which keys a query sees: those that are there, of all examples, and with `causal` none after it.
#[derive(Clone, Copy)]
pub(crate) struct Mask<'a> {
    pub(crate) keys: Option<&'a [bool]>,
    pub(crate) causal: bool,
}

impl Geometry {
    fn features(&self) -> usize {
        self.heads * self.width
    }

    /// One for each head of each example.
    fn tasks(&self) -> usize {
        self.heads * self.examples.len()
    }

    /// The head and the example of task `number`.
    fn of_task(&self, number: usize) -> (usize, &Example) {
        (number % self.heads, &self.examples[number / self.heads])
    }

    /// Rows of one head.
    fn of_head<'a, T: Element>(
        &self,
        x: &'a [T],
        head: usize,
        rows: &Range<usize>,
    ) -> Matrix<'a, T> {
        let start = rows.start * self.features() + head * self.width;
        Matrix::strided(&x[start..], rows.len(), self.width, self.features())
    }

    /// The results of all tasks, (rows, width) each, as (rows, heads, width).
    fn merged<T: Element>(
        &self,
        by_task: &[&[T]],
        rows: impl Fn(&Example) -> &Range<usize>,
    ) -> Vec<T> {
        let tasks = by_task.chunks_exact(self.heads).zip(&self.examples);
        let lines: Vec<_> = tasks
            .flat_map(|(heads, example)| (0..rows(example).len()).map(move |row| (heads, row)))
            .collect();
        let mut merged = vec![T::zero(); lines.len() * self.features()];
        let to = merged.par_chunks_mut(self.features()).with_min_len(ROWS_AT_ONCE);
        to.zip(&lines).fork(|(line, (heads, row))| {
            for (out, head) in line.chunks_exact_mut(self.width).zip(*heads) {
                out.copy_from_slice(&head[row * self.width..][..self.width]);
            }
        });
        merged
    }
}

/// The results (queries, heads, width) of queries, keys and values.
pub(crate) fn forward<T: Element>(of: &Geometry, x: [&[T]; 3], mask: Mask<'_>) -> Vec<T> {
    let compute = |task: usize| {
        let (head, example) = of.of_task(task);
        let weights = weights(of, x, mask, task);
        let (queries, keys) = (example.queries.len(), example.keys.len());
        let mut y = vec![T::zero(); queries * of.width];
        let weights = Matrix::new(&weights, queries, keys);
        multiply(&mut y, weights, of.of_head(x[2], head, &example.keys), false);
        y
    };
    let tasks: Vec<Vec<T>> = (0..of.tasks()).into_par_iter().gather(compute);
    of.merged(&tasks.iter().map(Vec::as_slice).collect::<Vec<_>>(), |example| &example.queries)
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
    let compute = |task: usize| {
        let (head, example) = of.of_task(task);
        let (queries, keys) = (example.queries.len(), example.keys.len());
        let weights = weights(of, x, mask, task);
        let matrix = Matrix::new(&weights, queries, keys);
        let dy = of.of_head(grad, head, &example.queries);
        let mut dv = vec![T::zero(); keys * of.width];
        multiply(&mut dv, matrix.transposed(), dy, false);
        let mut scores = vec![T::zero(); queries * keys];
        multiply(&mut scores, dy, of.of_head(v, head, &example.keys).transposed(), false);
        softmax_gradient(&weights, &mut scores, keys, scale(of));
        let scores = Matrix::new(&scores, queries, keys);
        let mut dq = vec![T::zero(); queries * of.width];
        multiply(&mut dq, scores, of.of_head(k, head, &example.keys), false);
        let mut dk = vec![T::zero(); keys * of.width];
        multiply(&mut dk, scores.transposed(), of.of_head(q, head, &example.queries), false);
        [dq, dk, dv]
    };
    let tasks: Vec<[Vec<T>; 3]> = (0..of.tasks()).into_par_iter().gather(compute);
    let of_input = |number: usize| -> Vec<&[T]> {
        tasks.iter().map(|results| results[number].as_slice()).collect()
    };
    [
        of.merged(&of_input(0), |example| &example.queries),
        of.merged(&of_input(1), |example| &example.keys),
        of.merged(&of_input(2), |example| &example.keys),
    ]
}

/// 1 / sqrt(d).
fn scale<T: Element>(of: &Geometry) -> T {
    T::from_f64(1.0 / (of.width as f64).sqrt())
}

/// The weights (queries, keys) of one task: rows that sum to 1, or to 0 without a key.
fn weights<T: Element>(of: &Geometry, x: [&[T]; 3], mask: Mask<'_>, task: usize) -> Vec<T> {
    let (head, example) = of.of_task(task);
    let mut scores = vec![T::zero(); example.queries.len() * example.keys.len()];
    let keys = of.of_head(x[1], head, &example.keys).transposed();
    multiply(&mut scores, of.of_head(x[0], head, &example.queries), keys, false);
    let there = mask.keys.map(|keys| &keys[example.keys.clone()]);
    softmax(&mut scores, example.keys.len(), Seen { there, causal: mask.causal }, scale(of));
    scores
}
