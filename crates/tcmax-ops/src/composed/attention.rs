//! Attention.

use candle_core::{D, DType, Result, Tensor};

use crate::mask::AttentionMask;

/// A score that no exponential sees.
const HIDDEN: f64 = -1e30;

pub(crate) fn attention(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    mask: &AttentionMask,
    softmax: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (batch, queries, features) = q.dims3()?;
    let (keys, width) = (k.dim(1)?, features / heads);
    let split = |x: &Tensor, rows: usize| {
        x.reshape((batch, rows, heads, width))?.transpose(1, 2)?.contiguous()
    };
    let (q, k, v) = (split(q, queries)?, split(k, keys)?, split(v, keys)?);
    let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? / (width as f64).sqrt())?;
    let weights = match seen(mask, [batch, queries, keys], &scores)? {
        None => softmax(&scores)?,
        Some(seen) => {
            let hidden = ((&seen - 1.0)? * -HIDDEN)?;
            // A query that sees no key has equal scores; its weights become 0.
            softmax(&scores.broadcast_mul(&seen)?.broadcast_add(&hidden)?)?.broadcast_mul(&seen)?
        }
    };
    weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, queries, features))
}

/// 1 where a query sees a key and 0 where not, (B or 1, 1, T or 1, S).
fn seen(
    mask: &AttentionMask,
    [batch, queries, keys]: [usize; 3],
    like: &Tensor,
) -> Result<Option<Tensor>> {
    let there = match &mask.keys {
        Some(there) => Some(there.to_dtype(like.dtype())?.reshape((batch, 1, 1, keys))?),
        None => None,
    };
    if !mask.causal {
        return Ok(there);
    }
    let device = like.device();
    let query = Tensor::arange(0u32, queries as u32, device)?.reshape((queries, 1))?;
    let key = Tensor::arange(0u32, keys as u32, device)?.reshape((1, keys))?;
    let before = key.broadcast_le(&query)?.to_dtype(DType::F32)?.to_dtype(like.dtype())?;
    let before = before.reshape((1, 1, queries, keys))?;
    debug_assert_eq!(like.dim(D::Minus1)?, keys);
    Ok(Some(match there {
        Some(there) => there.broadcast_mul(&before)?,
        None => before,
    }))
}
