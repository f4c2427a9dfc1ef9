//! The affine map of features that additive heads are made of, with shapes checked.

use candle_core::{IndexOp, Tensor};
use tcmax_estimators::{Error, Result};
use tcmax_ops::{Init, ParamBuilder};

/// The weight (C, D) and bias (C,) of a new linear layer, uniform within 1 / sqrt(D) as PyTorch's
/// linear layers start.
pub(crate) fn new_layer(
    builder: &ParamBuilder,
    width: usize,
    classes: usize,
) -> crate::Result<(Tensor, Tensor)> {
    let start = Init::Uniform { bound: 1.0 / (width as f64).sqrt() };
    let weight = builder.param("weight", (classes, width), start)?;
    Ok((weight, builder.param("bias", classes, start)?))
}

/// `features` (N, D) times `weight` (C, D) transposed, plus `bias` (C,): shape (N, C).
pub(crate) fn affine(features: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    // A view of columns of a wider weight is not contiguous; candle's matmul takes it transposed.
    Ok(features.matmul(&weight.t()?)?.broadcast_add(bias)?)
}

/// Checks that there is one (N, D_m) tensor a modality, all of one N.
pub(crate) fn check_features(features: &[Tensor], widths: &[usize]) -> Result<()> {
    if features.len() != widths.len() {
        return Err(Error::WrongShape {
            what: "list of features".to_owned(),
            got: vec![features.len()],
            wanted: format!("{} tensors, one a modality", widths.len()),
        });
    }
    let rows = features.first().map_or(0, |first| first.dims().first().copied().unwrap_or(0));
    for (m, (tensor, &width)) in features.iter().zip(widths).enumerate() {
        if tensor.dims() != [rows, width] {
            return Err(Error::WrongShape {
                what: format!("features of modality {m}"),
                got: tensor.dims().to_vec(),
                wanted: format!("[{rows}, {width}] (examples, features)"),
            });
        }
    }
    Ok(())
}

/// Columns `start..start + width` of a weight (C, D).
pub(crate) fn columns(weight: &Tensor, start: usize, width: usize) -> Result<Tensor> {
    Ok(weight.i((.., start..start + width))?)
}
