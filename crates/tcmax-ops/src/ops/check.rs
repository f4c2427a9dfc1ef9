//! Checks that operations share.

use candle_core::{Result, Tensor, bail};

use crate::cpu::storage::check_dtype;

/// The length of the rows of a tensor, after checking that it has any.
pub(crate) fn row_len(x: &Tensor, op: &'static str) -> Result<usize> {
    if x.device().is_cpu() {
        check_dtype(x, op)?;
    }
    match x.dims().last() {
        Some(&len) if len > 0 => Ok(len),
        _ => bail!("{op}: got input {:?}, wanted rows of at least one value", x.dims()),
    }
}
