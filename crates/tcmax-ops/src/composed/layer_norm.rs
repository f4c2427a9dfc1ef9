//! Layer normalisation of rows.

use candle_core::{D, Result, Tensor};

use crate::composed::normalise::scale_and_shift;

pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
    scale_and_shift(&centred, &var, eps, [weight, bias])
}
