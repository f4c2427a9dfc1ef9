//! The passes of a blend of conditional and joint log-likelihood; see [`crate::blended_log_likelihood`].
//!
//! Exponentials are taken once, of each term relative to its column's largest entry:
//!
//! ```text
//! e_m[i, c] = exp(g_m[i, c] - most_m[c]),   k[c] = exp(sum_m most_m[c] - K),   K = max_c sum_m most_m[c]
//! sums over all tuples:      prod_m sum_i e_m[i, c]
//! softmax of the scores:    k[c] prod_m e_m[i, c] / R_i,   R_i = sum_c k[c] prod_m e_m[i, c]
//! ```
//!
//! So the blend takes as many exponentials as the cross-entropy of two terms takes forwards and backwards. A row whose
//! every score is far below the columns' largest has an R_i without digits: of its scores exponentials are taken
//! relative to the largest of them.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::log_sum_exp::column_maxima;
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Rows of one task.
const ROWS_AT_ONCE: usize = 256;

/// The least R_i that is used. Of what is lost, below 1e-38, it leaves nothing that f32 would hold.
const LEAST: f64 = 1e-20;

/// Sums that are kept side by side, so that the compiler makes vectors of them.
const SIDE_BY_SIDE: usize = 16;

/// What the backward pass needs of the forward one, and the values.
pub(crate) struct Kept<T> {
    /// e_m of each term.
    exponentials: Vec<Vec<T>>,
    /// k.
    columns: Vec<T>,
    rows: Vec<Row<T>>,
    /// By term: the share of the column in the sum over all tuples, over the sum of e_m in the column.
    shares: Vec<Vec<f64>>,
    /// The mean of the rows' own scores, that of their log-sum-exps, and the log of the sum over all tuples.
    pub(crate) values: [f64; 3],
}

/// How the softmax of the scores of an example is found.
#[derive(Clone, Copy)]
struct Row<T> {
    /// The largest score, where exponentials are relative to it.
    most: Option<T>,
    /// 1 over the sum.
    inverse: T,
    log_sum_exp: f64,
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
    let mut most = vec![0.0; columns];
    let (mut exponentials, mut sums) = (Vec::new(), Vec::new());
    for term in terms {
        let of_term = column_maxima(term, columns);
        most.iter_mut().zip(&of_term).for_each(|(most, of_term)| *most += of_term.to_f64());
        let (values, sum) = exponentials_of(term, &of_term);
        exponentials.push(values);
        sums.push(sum);
    }
    let largest = most.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_columns: Vec<T> = most.iter().map(|most| T::from_f64((most - largest).exp())).collect();
    let (shares, log_sum) = shares(&most, &sums);
    let rows = rows(terms, &exponentials, &of_columns, largest);
    let count = labels.len() as f64;
    let own: f64 = labels
        .iter()
        .enumerate()
        .map(|(row, &label)| {
            let at = row * columns + label as usize;
            terms.iter().map(|term| term[at].to_f64()).sum::<f64>()
        })
        .sum();
    let partition: f64 = rows.iter().map(|row| row.log_sum_exp).sum();
    let values = [own / count, partition / count, log_sum];
    Kept { exponentials, columns: of_columns, rows, shares, values }
}

/// The gradients of all terms of a weighted sum of the values: own, - (1 - weight) partition, - weight log-sum.
pub(crate) fn gradients<T: Element>(
    terms: &[&[T]],
    labels: &[u32],
    kept: &Kept<T>,
    (weight, grad): (f64, f64),
) -> Vec<Vec<T>> {
    let columns = kept.columns.len();
    let each = grad / labels.len() as f64;
    let factor = |share: &f64| T::from_f64(-weight * grad * share);
    let scales: Vec<Vec<T>> =
        kept.shares.iter().map(|shares| shares.iter().map(factor).collect()).collect();
    let block = columns * ROWS_AT_ONCE;
    let mut all: Vec<Vec<T>> = terms.iter().map(|term| vec![T::zero(); term.len()]).collect();
    let mut blocks: Vec<Vec<&mut [T]>> = Vec::new();
    for gradient in &mut all {
        for (number, part) in gradient.chunks_mut(block).enumerate() {
            match blocks.get_mut(number) {
                Some(parts) => parts.push(part),
                None => blocks.push(vec![part]),
            }
        }
    }
    blocks.into_par_iter().enumerate().fork(|(number, gradients)| {
        let first = number * ROWS_AT_ONCE;
        let last = (first + ROWS_AT_ONCE).min(labels.len());
        run(Gradients {
            terms,
            kept,
            first,
            labels: &labels[first..last],
            each: T::from_f64(each),
            partition: T::from_f64(-(1.0 - weight) * each),
            scales: &scales,
            gradients,
        });
    });
    all
}

/// exp(x - most) with the most of the entry's column, and the sums of the columns. Blocks of rows are summed in
/// order.
fn exponentials_of<T: Element>(x: &[T], most: &[T]) -> (Vec<T>, Vec<f64>) {
    let block = most.len() * ROWS_AT_ONCE;
    let mut values = vec![T::zero(); x.len()];
    let sums: Vec<Vec<T>> = values
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .gather(|(values, x)| run(Exponentials { x, most, values }));
    let sum = |c: usize| sums.iter().map(|block| block[c].to_f64()).sum();
    (values, (0..most.len()).map(sum).collect())
}

struct Exponentials<'a, T> {
    x: &'a [T],
    most: &'a [T],
    values: &'a mut [T],
}

impl<T: Element> WithSimd for Exponentials<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let Self { x, most, values } = self;
        let columns = most.len();
        let most = most.repeat(rows_of_stretch(columns));
        let mut sums = vec![T::zero(); most.len()];
        for (values, x) in values.chunks_mut(most.len()).zip(x.chunks(most.len())) {
            // The last stretch may have fewer rows.
            let of_column = most.iter().zip(&mut sums);
            for ((value, x), (most, sum)) in values.iter_mut().zip(x).zip(of_column) {
                *value = (*x - *most).exp_of_at_most_zero();
                *sum += *value;
            }
        }
        let mut rows = sums.chunks_exact(columns);
        let mut total = rows.next().map(<[T]>::to_vec).unwrap_or_default();
        for row in rows {
            total.iter_mut().zip(row).for_each(|(total, sum)| *total += *sum);
        }
        total
    }
}

/// Rows that loops pass over at once: one of many columns, several of few, or the loops would spend their time on
/// their ends.
#[inline(always)]
fn rows_of_stretch(columns: usize) -> usize {
    (64 / columns).max(1)
}

/// Of each term and column the share of the column in the sum over all tuples, over the term's sum there; and the
/// log of the sum over all tuples.
fn shares(most: &[f64], sums: &[Vec<f64>]) -> (Vec<Vec<f64>>, f64) {
    let logs: Vec<f64> = most
        .iter()
        .enumerate()
        .map(|(c, most)| most + sums.iter().map(|sums| sums[c].ln()).sum::<f64>())
        .collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let total: f64 = parts.iter().sum();
    let share = |(part, sum): (&f64, &f64)| part / total / sum;
    let of_term = |sums: &Vec<f64>| parts.iter().zip(sums).map(share).collect();
    (sums.iter().map(of_term).collect(), largest + total.ln())
}

/// The softmax of every row's scores.
fn rows<T: Element>(
    terms: &[&[T]],
    exponentials: &[Vec<T>],
    of_columns: &[T],
    largest: f64,
) -> Vec<Row<T>> {
    let columns = of_columns.len();
    let count = terms.first().map_or(0, |term| term.len() / columns);
    let blocks: Vec<Vec<Row<T>>> =
        (0..count).step_by(ROWS_AT_ONCE).collect::<Vec<_>>().into_par_iter().gather(|first| {
            let range = first..(first + ROWS_AT_ONCE).min(count);
            run(Rows { terms, exponentials, of_columns, largest, range })
        });
    blocks.into_iter().flatten().collect()
}

struct Rows<'a, T> {
    terms: &'a [&'a [T]],
    exponentials: &'a [Vec<T>],
    of_columns: &'a [T],
    largest: f64,
    range: std::ops::Range<usize>,
}

impl<T: Element> WithSimd for Rows<'_, T> {
    type Output = Vec<Row<T>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Row<T>> {
        let Self { terms, exponentials, of_columns, largest, range } = self;
        let columns = of_columns.len();
        let stretch = rows_of_stretch(columns);
        let repeated = of_columns.repeat(stretch);
        let mut values = repeated.clone();
        let mut found = Vec::with_capacity(range.len());
        for first in range.clone().step_by(stretch) {
            let values = &mut values[..columns * stretch.min(range.end - first)];
            products(values, exponentials, &repeated, first * columns);
            for (number, values) in values.chunks_exact_mut(columns).enumerate() {
                let total = sum(values);
                found.push(if total >= LEAST {
                    let inverse = T::from_f64(1.0 / total);
                    Row { most: None, inverse, log_sum_exp: largest + total.ln() }
                } else {
                    // Also where it is NaN.
                    let most = scores(values, terms, first + number);
                    relative(values, most);
                    let total = sum(values);
                    let inverse = T::from_f64(1.0 / total);
                    Row { most: Some(most), inverse, log_sum_exp: most.to_f64() + total.ln() }
                });
            }
        }
        found
    }
}

/// k[c] prod_m e_m of some rows, from the entry `start` on; `of_columns` repeats k for each.
#[inline(always)]
fn products<T: Element>(values: &mut [T], exponentials: &[Vec<T>], of_columns: &[T], start: usize) {
    let len = values.len();
    values.copy_from_slice(&of_columns[..len]);
    for exponentials in exponentials {
        for (value, exponential) in values.iter_mut().zip(&exponentials[start..][..len]) {
            *value *= *exponential;
        }
    }
}

/// The scores of an example, and the largest.
#[inline(always)]
fn scores<T: Element>(values: &mut [T], terms: &[&[T]], row: usize) -> T {
    let columns = values.len();
    values.fill(T::zero());
    for term in terms {
        let of_row = &term[row * columns..][..columns];
        values.iter_mut().zip(of_row).for_each(|(value, term)| *value += *term);
    }
    let first = T::from_f64(f64::NEG_INFINITY);
    values.iter().fold(first, |most, value| if *value > most { *value } else { most })
}

#[inline(always)]
fn relative<T: Element>(values: &mut [T], most: T) {
    for value in values {
        *value = (*value - most).exp_of_at_most_zero();
    }
}

/// The sum, side by side and then in order.
#[inline(always)]
fn sum<T: Element>(values: &[T]) -> f64 {
    let mut sums = [T::zero(); SIDE_BY_SIDE];
    let (chunks, rest) = values.as_chunks::<SIDE_BY_SIDE>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum += *value);
    }
    sums.iter_mut().zip(rest).for_each(|(sum, value)| *sum += *value);
    let mut half = SIDE_BY_SIDE / 2;
    while half > 0 {
        for place in 0..half {
            sums[place] += sums[place + half];
        }
        half /= 2;
    }
    sums[0].to_f64()
}

/// The gradients of some rows of every term.
struct Gradients<'a, T> {
    terms: &'a [&'a [T]],
    kept: &'a Kept<T>,
    /// The number of the first row.
    first: usize,
    labels: &'a [u32],
    /// Of the score at an example's label.
    each: T,
    /// Of the log-sum-exp of its scores.
    partition: T,
    /// Of the exponentials of each term, by column.
    scales: &'a [Vec<T>],
    gradients: Vec<&'a mut [T]>,
}

impl<T: Element> WithSimd for Gradients<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let columns = self.kept.columns.len();
        let stretch = rows_of_stretch(columns);
        let of_columns = self.kept.columns.repeat(stretch);
        let scales: Vec<Vec<T>> = self.scales.iter().map(|scale| scale.repeat(stretch)).collect();
        let mut common = of_columns.clone();
        for row in (0..self.labels.len()).step_by(stretch) {
            let count = stretch.min(self.labels.len() - row);
            let common = &mut common[..columns * count];
            let start = (self.first + row) * columns;
            products(common, &self.kept.exponentials, &of_columns, start);
            for (number, common) in common.chunks_exact_mut(columns).enumerate() {
                self.of_score(common, row + number);
            }
            let of_terms = self.gradients.iter_mut().zip(&scales).zip(&self.kept.exponentials);
            for ((gradients, scales), exponentials) in of_terms {
                let gradients = &mut gradients[row * columns..][..common.len()];
                let inputs = exponentials[start..].iter().zip(scales).zip(&*common);
                for (gradient, ((exponential, scale), common)) in gradients.iter_mut().zip(inputs) {
                    *gradient = *scale * *exponential + *common;
                }
            }
        }
    }
}

impl<T: Element> Gradients<'_, T> {
    /// The gradient of the scores of an example by that at its label and by their log-sum-exp, of the products of
    /// exponentials.
    #[inline(always)]
    fn of_score(&self, values: &mut [T], row: usize) {
        let Row { most, inverse, .. } = self.kept.rows[self.first + row];
        if let Some(most) = most {
            scores(values, self.terms, self.first + row);
            relative(values, most);
        }
        let factor = self.partition * inverse;
        for value in values.iter_mut() {
            *value *= factor;
        }
        values[self.labels[row] as usize] += self.each;
    }
}
