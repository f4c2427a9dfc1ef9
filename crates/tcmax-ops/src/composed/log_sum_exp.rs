//! log sum exp over one dimension.

use candle_core::{Result, Tensor};

pub(crate) fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let max = x.max_keepdim(dim)?.detach();
    x.broadcast_sub(&max)?.exp()?.sum(dim)?.log()? + max.squeeze(dim)?
}
