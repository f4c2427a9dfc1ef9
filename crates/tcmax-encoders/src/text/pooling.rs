//! One vector of a text from those of its tokens.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::Linear;

use super::tokens::Tokens;
use crate::error::Result;
use crate::transformer::{Blocks, Packed, Pass};

/// What the features of a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TextPooling {
    /// The mean over its tokens.
    Mean,
    /// The vector of the first token.
    Cls,
    /// tanh(W x + b) of the first token's vector, with the pre-trained W: BERT and RoBERTa.
    Pooler,
}

/// The mean of (B, T, D) over the tokens that are there; 0 of a text without any.
pub(crate) fn mean_of_there(hidden: &Tensor, there: &Tensor) -> Result<Tensor> {
    let weights = there.to_dtype(hidden.dtype())?;
    let count = weights.sum_keepdim(1)?.maximum(1.0)?;
    let sum = hidden.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?;
    Ok(sum.broadcast_div(&count)?)
}

/// The vector of the first token.
pub(crate) fn first(hidden: &Tensor) -> Result<Tensor> {
    Ok(hidden.narrow(1, 0, 1)?.squeeze(1)?)
}

/// The features of a text; `pooler` is there where it is asked for.
pub(crate) fn pooled(
    hidden: &Tensor,
    tokens: &Tokens,
    pooling: TextPooling,
    pooler: Option<&Linear>,
) -> Result<Tensor> {
    match (pooling, pooler) {
        (TextPooling::Mean, _) => mean_of_there(hidden, &tokens.there),
        (TextPooling::Pooler, Some(pooler)) => Ok(pooler.forward(&first(hidden)?)?.tanh()?),
        _ => first(hidden),
    }
}

/// The features (B, D) of texts from what goes into the first block, (N, D); `pooler` is there where it is
/// asked for.
pub(crate) fn features(
    blocks: &Blocks,
    (x, packed): (&Tensor, &Packed),
    pass: &Pass,
    pooling: TextPooling,
    pooler: Option<&Linear>,
) -> Result<Tensor> {
    let sequences = packed.sequences();
    if pooling == TextPooling::Mean {
        return Ok(blocks.forward(x, sequences, pass)?.mean(sequences)?.tensor()?);
    }
    let first = blocks.read(x, sequences, &packed.first_rows()?, pass)?.tensor()?;
    Ok(match pooler {
        Some(pooler) => pooler.forward(&first)?.tanh()?,
        None => first,
    })
}
