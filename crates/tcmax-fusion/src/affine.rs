//! What several heads need: columns of weights, names of layers, and features beside zeros.

use candle_core::{IndexOp, Tensor};
use tcmax_estimators::Result;

/// Columns `start..start + width` of a weight (C, D).
pub(crate) fn columns(weight: &Tensor, start: usize, width: usize) -> Result<Tensor> {
    Ok(weight.i((.., start..start + width))?)
}

/// What the layer of modality `m` is called: `fc_x` and `fc_y` as the paper's code has them, then
/// `fc_2`, `fc_3`, ... (counted from 0).
pub(crate) fn layer_name(stem: &str, modality: usize) -> String {
    match modality {
        0 => format!("{stem}_x"),
        1 => format!("{stem}_y"),
        m => format!("{stem}_{m}"),
    }
}

/// Features of modality `keep` of two, and zeros in place of the other's.
///
/// Heads that are not additive have no logits of one modality; what the head returns with
/// zeros for the other modality is used instead.
pub(crate) fn beside_zeros(features: &[Tensor], keep: usize) -> Result<Vec<Tensor>> {
    let alone = |(m, z): (usize, &Tensor)| if m == keep { Ok(z.clone()) } else { z.zeros_like() };
    Ok(features.iter().enumerate().map(alone).collect::<candle_core::Result<_>>()?)
}
