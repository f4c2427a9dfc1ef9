//! The linear layers heads are made of, with shapes checked.

use candle_core::{IndexOp, Tensor};
use tcmax_estimators::{Error, Result};
use tcmax_ops::{Init, ParamBuilder};

/// A linear layer: weight (C, D) and bias (C,).
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Layer {
    /// A new layer from `width` to `to` features, uniform within 1 / sqrt(width) as PyTorch's linear
    /// layers start.
    pub(crate) fn new(builder: &ParamBuilder, width: usize, to: usize) -> crate::Result<Self> {
        let start = Init::Uniform { bound: 1.0 / (width as f64).sqrt() };
        let weight = builder.param("weight", (to, width), start)?;
        Ok(Self { weight, bias: builder.param("bias", to, start)? })
    }

    /// Of features (N, D): shape (N, C).
    pub(crate) fn forward(&self, features: &Tensor) -> Result<Tensor> {
        affine(features, &self.weight, &self.bias)
    }

    pub(crate) fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    /// Features that come out.
    pub(crate) fn outputs(&self) -> usize {
        self.bias.elem_count()
    }
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
/// Heads that are not additive have no logits of one modality; what the head says beside zeros stands
/// in for them.
pub(crate) fn beside_zeros(features: &[Tensor], keep: usize) -> Result<Vec<Tensor>> {
    let alone = |(m, z): (usize, &Tensor)| if m == keep { Ok(z.clone()) } else { z.zeros_like() };
    Ok(features.iter().enumerate().map(alone).collect::<candle_core::Result<_>>()?)
}
