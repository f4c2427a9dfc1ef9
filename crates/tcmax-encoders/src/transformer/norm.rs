//! Layer norm with its parameters.

use candle_core::Tensor;
use tcmax_ops::{Hidden, Init, ParamBuilder, layer_norm};

use crate::error::Result;

/// Layer norm over the last dimension, with parameters `weight` and `bias`.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(width: usize, eps: f64, builder: &ParamBuilder) -> Result<Self> {
        let weight = builder.param("weight", width, Init::Const(1.0))?;
        let bias = builder.param("bias", width, Init::Const(0.0))?;
        Ok(Self { weight, bias, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(x, &self.weight, &self.bias, self.eps)?)
    }

    pub(crate) fn forward_hidden(&self, x: &Hidden) -> Result<Hidden> {
        Ok(x.layer_norm(&self.weight, &self.bias, self.eps)?)
    }
}
