//! The softmax of the scores of one attention head, and its gradient.

use pulp::{Simd, WithSimd};

use crate::cpu::element::Element;
use crate::cpu::simd::run;

/// Sums that are kept side by side, as many as fill a vector.
const SIDE_BY_SIDE: usize = 8;

/// Which keys the queries of one head see.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Whether each key is there; absent: all are.
    pub(crate) there: Option<&'a [bool]>,
    /// Whether a query sees no key after it.
    pub(crate) causal: bool,
}

/// Turns scores (queries, keys) into weights: the softmax of `scale` times the scores of the keys that are
/// seen, and 0 for the others.
pub(crate) fn softmax<T: Element>(scores: &mut [T], keys: usize, seen: Seen<'_>, scale: T) {
    run(Weights { scores, keys, seen, scale });
}

struct Weights<'a, T> {
    scores: &'a mut [T],
    keys: usize,
    seen: Seen<'a>,
    scale: T,
}

impl<T: Element> WithSimd for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scores, keys, seen, scale } = self;
        for (query, row) in scores.chunks_exact_mut(keys).enumerate() {
            let count = if seen.causal { query + 1 } else { keys };
            let (row, hidden) = row.split_at_mut(count);
            hidden.fill(T::zero());
            let mut any = count > 0;
            if let Some(there) = seen.there {
                any = hide(row, there);
            }
            if any {
                normalise(row, scale);
            } else {
                row.fill(T::zero());
            }
        }
    }
}

/// Gives keys that are not there a score of minus infinity; whether any is there.
#[inline(always)]
fn hide<T: Element>(row: &mut [T], there: &[bool]) -> bool {
    let nothing = T::from_f64(f64::NEG_INFINITY);
    let mut any = false;
    for (score, there) in row.iter_mut().zip(there) {
        *score = if *there { *score } else { nothing };
        any |= *there;
    }
    any
}

/// The softmax of one query's scores times `scale`. A score that is NaN makes the sum NaN, and so all weights.
#[inline(always)]
fn normalise<T: Element>(row: &mut [T], scale: T) {
    let mut most = [T::from_f64(f64::NEG_INFINITY); SIDE_BY_SIDE];
    let (chunks, rest) = row.as_chunks::<SIDE_BY_SIDE>();
    for chunk in chunks {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    for (most, score) in most.iter_mut().zip(rest) {
        *most = if *score > *most { *score } else { *most };
    }
    let mut largest = most[0];
    for value in most {
        largest = if value > largest { value } else { largest };
    }
    // A loop of its own: with the sums in it, the compiler makes no vectors of the exponentials.
    for score in row.iter_mut() {
        *score = ((*score - largest) * scale).exp_of_at_most_zero();
    }
    let mut sums = [T::zero(); SIDE_BY_SIDE];
    let (chunks, rest) = row.as_chunks::<SIDE_BY_SIDE>();
    for chunk in chunks {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *sum += *score;
        }
    }
    for (sum, score) in sums.iter_mut().zip(rest) {
        *sum += *score;
    }
    let mut sum = 0.0;
    for value in sums {
        sum += value.to_f64();
    }
    let inverse = T::from_f64(1.0 / sum);
    for score in row {
        *score *= inverse;
    }
}

/// Turns the gradients dP of weights P (queries, keys) into those of the scores before they were scaled:
/// scale P (dP - sum_j dP_j P_j).
pub(crate) fn softmax_gradient<T: Element>(
    weights: &[T],
    gradients: &mut [T],
    keys: usize,
    scale: T,
) {
    assert_eq!(weights.len(), gradients.len());
    run(Gradient { weights, gradients, keys, scale });
}

struct Gradient<'a, T> {
    weights: &'a [T],
    gradients: &'a mut [T],
    keys: usize,
    scale: T,
}

impl<T: Element> WithSimd for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { weights, gradients, keys, scale } = self;
        let rows = gradients.chunks_exact_mut(keys).zip(weights.chunks_exact(keys));
        for (gradients, weights) in rows {
            let inner = inner(gradients, weights);
            for (gradient, weight) in gradients.iter_mut().zip(weights) {
                *gradient = *weight * (*gradient - inner) * scale;
            }
        }
    }
}

#[inline(always)]
fn inner<T: Element>(one: &[T], other: &[T]) -> T {
    let mut sums = [T::zero(); SIDE_BY_SIDE];
    let ((one, rest), (other, rest_of_other)) =
        (one.as_chunks::<SIDE_BY_SIDE>(), other.as_chunks::<SIDE_BY_SIDE>());
    for (one, other) in one.iter().zip(other) {
        for (sum, (a, b)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += *a * *b;
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(rest.iter().zip(rest_of_other)) {
        *sum += *a * *b;
    }
    let mut sum = T::zero();
    for value in sums {
        sum += value;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Seen<'_> = Seen { there: None, causal: false };

    #[test]
    fn rows_of_any_length_sum_to_one_and_keep_their_order() {
        for keys in [1, 7, 8, 9, 50] {
            let mut scores: Vec<f64> = (0..3 * keys).map(|i| (i * 7 % 11) as f64).collect();
            let before = scores.clone();
            softmax(&mut scores, keys, ALL, 0.5);
            for (weights, scores) in scores.chunks(keys).zip(before.chunks(keys)) {
                let sum: f64 = scores.iter().map(|score| (0.5 * score).exp()).sum();
                for (weight, score) in weights.iter().zip(scores) {
                    assert!((weight - (0.5 * score).exp() / sum).abs() < 1e-14, "{keys} keys");
                }
            }
        }
    }

    #[test]
    fn nan_and_infinite_scores_are_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut scores = vec![0f32; 10];
            scores[9] = bad;
            softmax(&mut scores, 10, ALL, 1.0);
            assert!(scores[9].is_nan());
            // Of a key that is not there, nothing is seen.
            let there = [true, true, true, true, true, true, true, true, true, false];
            let mut scores = vec![0f32; 10];
            scores[9] = bad;
            softmax(&mut scores, 10, Seen { there: Some(&there), causal: false }, 1.0);
            assert!((scores[0] - 1.0 / 9.0).abs() < 1e-7 && scores[9] == 0.0);
        }
    }
}
