//! max(0, x) that does not hide NaN.

use candle_core::{Result, Tensor};

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    gate(x, x)
}

/// `values` where `x` is above 0 or NaN, else 0.
pub(crate) fn gate(x: &Tensor, values: &Tensor) -> Result<Tensor> {
    x.detach().le(0.0)?.where_cond(&values.zeros_like()?, values)
}
