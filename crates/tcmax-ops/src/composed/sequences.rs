//! Attention within sequences, and their means, where no kernel of ours runs: of one length.

use candle_core::{DType, Result, Tensor, bail};

use crate::composed::attention;
use crate::mask::AttentionMask;
use crate::sequences::Sequences;

/// As a tensor (count, T, D), and the mask (count, T) of what is seen.
fn batched(x: &Tensor, sequences: &Sequences) -> Result<(Tensor, Option<Tensor>)> {
    let Some(length) = sequences.length() else {
        bail!("sequences of different lengths are computed on a CPU only");
    };
    let count = sequences.count();
    let seen = sequences.seen().map(|seen| seen.reshape((count, length))).transpose()?;
    Ok((x.reshape((count, length, ()))?, seen))
}

/// Attention of all rows (N, D), or of one query of each sequence (count, D).
pub(crate) fn attention_within(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    sequences: &Sequences,
    softmax: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (k, keys) = batched(k, sequences)?;
    let (v, _) = batched(v, sequences)?;
    let of_all = q.dim(0)? == sequences.rows();
    let mask = AttentionMask { keys, causal: sequences.is_causal() && of_all };
    let batch = q.reshape((sequences.count(), (), q.dim(1)?))?;
    attention::attention([&batch, &k, &v], heads, &mask, softmax)?.reshape(q.shape())
}

/// The mean over the rows of each sequence that are seen; 0 where there is none.
pub(crate) fn mean(x: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    let (x, seen) = batched(x, sequences)?;
    let Some(seen) = seen else { return x.mean(1) };
    let weights = seen.to_dtype(DType::F32)?.to_dtype(x.dtype())?;
    let count = weights.sum_keepdim(1)?.maximum(1.0)?;
    x.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?.broadcast_div(&count)
}
