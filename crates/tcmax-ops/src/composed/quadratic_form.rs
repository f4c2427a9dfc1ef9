//! u^T Q u of every row u.

use candle_core::{Result, Tensor};

pub(crate) fn quadratic_form(u: &Tensor, q: &Tensor) -> Result<Tensor> {
    (u.matmul(q)? * u)?.sum_keepdim(1)
}
