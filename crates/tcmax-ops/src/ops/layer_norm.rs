//! Layer normalisation of rows: y = w (x - mean) / sqrt(var + eps) + b.
//!
//! candle-nn 0.11's fast `LayerNorm` (contiguous, with bias) has no backward pass, and cuts the graph
//! without an error.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::cpu::layer_norm::{backward, forward};
use crate::cpu::storage::{dispatch, open, tensor_of, values};
use crate::device;
use crate::graph::backward::hand_over;
use crate::ops::check::row_len;
use crate::precision::{of_parameters, preserving};
use crate::reading::seen;

const OP: &str = "layer_norm";

/// Layer normalisation over the last dimension of `x` (..., D) with weight and bias (D,).
///
/// Mean and biased variance are each row's own, in f64. Source: Ba, Kiros and Hinton 2016, "Layer
/// Normalization".
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1f64, 3.0], [10.0, 30.0]], &Device::Cpu)?;
/// let (weight, bias) = (Tensor::new(&[1f64, 2.0], &Device::Cpu)?, x.get(0)?.zeros_like()?);
/// let y = tcmax_ops::layer_norm(&x, &weight, &bias, 0.0)?;
/// assert_eq!(y.to_vec2::<f64>()?, [[-1.0, 2.0], [-1.0, 2.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When weight or bias have another length or element type than the rows.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let (weight, bias) = (&seen(weight), &seen(bias));
    preserving(x, |x| {
        let op = operation(x, weight, bias, eps)?;
        if !x.device().is_cpu() {
            return device::layer_norm(x, weight, bias, eps);
        }
        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
    })
}

/// The operation on x, weight and bias, whose shapes and types it checks.
pub(crate) fn operation(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<LayerNorm> {
    let len = row_len(x, OP)?;
    for (name, tensor) in [("weight", weight), ("bias", bias)] {
        if tensor.dims() != [len] || tensor.dtype() != of_parameters(x) {
            let (got, kind) = (tensor.dims(), tensor.dtype());
            bail!("{OP}: got {name} {got:?} {kind:?} for rows of {len} {:?}", x.dtype());
        }
    }
    Ok(LayerNorm { eps })
}

pub(crate) struct LayerNorm {
    eps: f64,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = dispatch!(x, OP, |T| {
            let weight = values::<T>(weight, weight_layout, OP)?;
            let bias = values::<T>(bias, bias_layout, OP)?;
            forward(values::<T>(x, x_layout, OP)?, weight, bias, self.eps)
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x, scale, grad) = (x.contiguous()?, weight.contiguous()?, grad.contiguous()?);
        let [opened, scale, grad] = [&x, &scale, &grad].map(|tensor| open(tensor, OP));
        let parameters;
        let dx = dispatch!(opened.storage()?, OP, |T| {
            let values = (opened.values::<T>()?, scale.values()?, grad.values()?);
            let (dx, sums) = backward(values.0, values.1, values.2, self.eps);
            parameters = sums;
            dx
        });
        let vector = |values: &[f64], like: &Tensor| {
            Tensor::new(values, like.device())?.to_dtype(like.dtype())
        };
        let dw = hand_over(weight, vector(&parameters[0], weight)?);
        Ok((Some(tensor_of(dx, &x)?), dw, hand_over(bias, vector(&parameters[1], bias)?)))
    }
}
