//! Contrasts of held-out examples with each other, as in InfoNCE.

use candle_core::{DType, Tensor};

use crate::critic::Critic;
use crate::error::Result;
use crate::sample::tuples::Tuples;

/// Product tuples scored at once.
pub(super) const CHUNK: usize = 8192;

/// Held-out examples that are contrasted with each other, at most.
const BLOCK: usize = 256;

/// No value on so many examples is above the logarithm of the size of a block, nats.
pub(super) fn cap_of_pairs(examples: usize) -> f64 {
    (block_size(examples) as f64).ln()
}

/// The size of blocks of equal size.
fn block_size(examples: usize) -> usize {
    examples / examples.div_ceil(BLOCK)
}

/// For each example the mean over its row and its column of log-mean-exp of the pair scores within its
/// block; the examples left over at the end join the last block that is full. And the share of each
/// example in the log-mean-exps of all others, less the mean share, which is what they change by, to
/// first order, where the example weighs more: with it, reweighted examples have reweighted contrasts.
/// These shares add up to 0, so they do not change the value.
pub(super) fn contrasts(critic: &dyn Critic, parts: &[Tensor], n: usize) -> Result<Vec<f64>> {
    let size = block_size(n);
    let pairs = Tuples::all(size, 2)?;
    let mut contrasts = vec![0.0; n];
    let mut start = 0;
    while start < n {
        // The last block overlaps the one before where n is not a multiple.
        let first = start.min(n - size);
        let block = parts
            .iter()
            .map(|part| part.narrow(0, first, size))
            .collect::<candle_core::Result<Vec<_>>>();
        let block = block?;
        let mut scores = Vec::with_capacity(size * size);
        for piece in pairs.chunks(CHUNK) {
            scores.extend(to_vec(&critic.combine(&piece.gather(&block)?)?)?);
        }
        for i in start - first..size {
            let own = |line: &dyn Fn(usize) -> f64, contrasts: &mut [f64]| {
                let log_mean = log_mean_exp((0..size).map(line));
                for j in 0..size {
                    let share = (line(j) - log_mean).exp() - 1.0;
                    contrasts[first + j] += 0.5 * share / size as f64;
                }
                contrasts[first + i] += 0.5 * log_mean;
            };
            own(&|j| scores[i * size + j], &mut contrasts);
            own(&|j| scores[j * size + i], &mut contrasts);
        }
        start = first + size;
    }
    Ok(contrasts)
}

/// log of the mean of exp T.
pub(super) fn log_mean_exp(scores: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let count = scores.len() as f64;
    let top = scores.clone().fold(f64::NEG_INFINITY, f64::max);
    top + (scores.map(|score| (score - top).exp()).sum::<f64>() / count).ln()
}

/// Scores as numbers.
pub(super) fn to_vec(scores: &Tensor) -> Result<Vec<f64>> {
    Ok(scores.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
