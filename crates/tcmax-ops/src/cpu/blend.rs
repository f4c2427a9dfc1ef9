//! The passes of a blend of conditional and joint log-likelihood; see [`crate::blended_log_likelihood`].

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::log_sum_exp::{Lines, Parts, backward, forward};
use crate::cpu::simd::run;

/// Rows of one task.
const ROWS_AT_ONCE: usize = 256;

/// What the backward pass needs of the forward one, and the values.
pub(crate) struct Kept<T> {
    /// The sum of the terms.
    scores: Vec<T>,
    rows: Parts,
    /// Of each term.
    columns: Vec<Parts>,
    /// The shares of the columns in the sum over all tuples.
    shares: Vec<f64>,
    /// The mean of the rows' own scores, that of their log-sum-exps, and the log of the sum over all tuples.
    pub(crate) values: [f64; 3],
}

impl<T> Kept<T> {
    /// The blend: own - (1 - weight) partition - weight log-sum.
    pub(crate) fn blended(&self, weight: f64) -> f64 {
        let [own, partition, log_sum] = self.values;
        own - (1.0 - weight) * partition - weight * log_sum
    }
}

/// The values of terms (N, columns), and what is kept.
pub(crate) fn values<T: Element>(terms: &[&[T]], labels: &[u32], columns: usize) -> Kept<T> {
    let scores = sum(terms);
    let (of_rows, rows) = forward(Lines::Rows, &scores, columns);
    let by_column: Vec<(Vec<T>, Parts)> =
        terms.iter().map(|term| forward(Lines::Columns, term, columns)).collect();
    let log_sums: Vec<f64> = (0..columns)
        .map(|c| by_column.iter().map(|(values, _)| values[c].to_f64()).sum())
        .collect();
    let most = log_sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = log_sums.iter().map(|sum| (sum - most).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    let shares = exponentials.iter().map(|exponential| exponential / total).collect();
    let count = labels.len() as f64;
    let own: f64 = labels
        .iter()
        .enumerate()
        .map(|(row, &label)| scores[row * columns + label as usize].to_f64())
        .sum();
    let partition: f64 = of_rows.iter().map(|value| value.to_f64()).sum();
    let values = [own / count, partition / count, most + total.ln()];
    let columns = by_column.into_iter().map(|(_, parts)| parts).collect();
    Kept { scores, rows, columns, shares, values }
}

/// The gradients of all terms of a weighted sum of the values: own, - (1 - weight) partition, - weight log-sum.
pub(crate) fn gradients<T: Element>(
    terms: &[&[T]],
    labels: &[u32],
    kept: &Kept<T>,
    (weight, grad): (f64, f64),
) -> Vec<Vec<T>> {
    let columns = kept.shares.len();
    let each = grad / labels.len() as f64;
    let of_rows = vec![T::from_f64(-(1.0 - weight) * each); labels.len()];
    // What all terms have alike.
    let mut common = backward(Lines::Rows, &kept.scores, &kept.rows, &of_rows, columns);
    for (row, &label) in labels.iter().enumerate() {
        common[row * columns + label as usize] += T::from_f64(each);
    }
    let mut all = vec![common];
    // The first term has what is there, and the others copies of it.
    (1..terms.len()).for_each(|_| all.push(all[0].clone()));
    for ((dx, term), parts) in all.iter_mut().zip(terms).zip(&kept.columns) {
        let most: Vec<T> = parts.most.iter().map(|&most| T::from_f64(most)).collect();
        let scale = kept.shares.iter().zip(&parts.sum);
        let scale: Vec<T> =
            scale.map(|(share, sum)| T::from_f64(-weight * grad * share / sum)).collect();
        add_exponentials(dx, term, &most, &scale);
    }
    all
}

fn sum<T: Element>(terms: &[&[T]]) -> Vec<T> {
    let Some((first, rest)) = terms.split_first() else { return Vec::new() };
    let mut sum = first.to_vec();
    for term in rest {
        run(Add { sum: &mut sum, term });
    }
    sum
}

struct Add<'a, T> {
    sum: &'a mut [T],
    term: &'a [T],
}

impl<T: Element> WithSimd for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (sum, term) in self.sum.iter_mut().zip(self.term) {
            *sum += *term;
        }
    }
}

/// Adds scale exp(x - most), with both of the entry's column.
fn add_exponentials<T: Element>(dx: &mut [T], x: &[T], most: &[T], scale: &[T]) {
    let block = most.len() * ROWS_AT_ONCE;
    let blocks = dx.par_chunks_mut(block).zip(x.par_chunks(block));
    blocks.for_each(|(dx, x)| run(AddExponentials { x, most, scale, dx }));
}

struct AddExponentials<'a, T> {
    x: &'a [T],
    most: &'a [T],
    scale: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> WithSimd for AddExponentials<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, most, scale, dx } = self;
        let columns = most.len();
        for (dx, x) in dx.chunks_exact_mut(columns).zip(x.chunks_exact(columns)) {
            let of_column = most.iter().zip(scale);
            for ((dx, x), (most, scale)) in dx.iter_mut().zip(x).zip(of_column) {
                *dx += *scale * (*x - *most).exp_of_at_most_zero();
            }
        }
    }
}
