//! Softmax and layer normalisation of rows, with gradients.
//!
//! candle-nn 0.11's fast `softmax_last_dim` and `LayerNorm` (contiguous, with bias) have no
//! backward pass, and cut the graph without a word.

mod layer_norm;
mod softmax;

pub use layer_norm::layer_norm;
pub use softmax::softmax;

use candle_core::{Result, Tensor, bail};

use crate::cpu::check_dtype;

/// Rows that one task takes.
const ROWS_AT_ONCE: usize = 64;

/// The length of the rows of a tensor, after checking that it has any.
fn row_len(x: &Tensor, op: &'static str) -> Result<usize> {
    if x.device().is_cpu() {
        check_dtype(x, op)?;
    }
    match x.dims().last() {
        Some(&len) if len > 0 => Ok(len),
        _ => bail!("{op}: got input {:?}, wanted rows of at least one value", x.dims()),
    }
}
