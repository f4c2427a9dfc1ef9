//! Operations on other devices than a CPU: by a kernel where there is one for the device, else from candle's own
//! operations.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use tcmax_parallel::Group;

use crate::activation::Gelu;
use crate::composed;
#[cfg(feature = "cuda")]
use crate::cuda::{graph, launch::takes, norm};
use crate::geometry::{ConvShape, Window};
use crate::mask::AttentionMask;
use crate::sequences::Sequences;

/// Lets matrix products and convolutions of f32 on NVIDIA's devices round their inputs to the 10 binary digits of
/// TF32, for speed. Not allowed unless asked for; elsewhere it changes nothing.
pub fn allow_tf32(allowed: bool) {
    #[cfg(feature = "cuda")]
    candle_core::cuda_backend::set_gemm_reduced_precision_f32(allowed);
    #[cfg(feature = "cudnn")]
    crate::cuda::conv2d::allow_tf32(allowed);
    #[cfg(not(feature = "cuda"))]
    let _ = allowed;
}

/// A group whose members add gradients from device to device, where each has one of NVIDIA's of its own and the
/// feature `nccl` is there; else the group, whose sums go through the host. All members call it.
///
/// # Errors
/// When the members cannot exchange, or NCCL finds no way between the devices.
pub fn on_devices(group: Arc<dyn Group>, device: &Device) -> Result<Arc<dyn Group>> {
    #[cfg(feature = "nccl")]
    return crate::cuda::nccl::joined(group, device);
    #[cfg(not(feature = "nccl"))]
    {
        let _ = device;
        Ok(group)
    }
}

pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::softmax(x);
    }
    composed::softmax::softmax(x)
}

pub(crate) fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) && x.elem_count() > 0 && dim < x.rank() {
        return graph::log_sum_exp(x, dim);
    }
    composed::log_sum_exp::log_sum_exp(x, dim)
}

pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::layer_norm(x, weight, bias, eps);
    }
    composed::layer_norm::layer_norm(x, weight, bias, eps)
}

pub(crate) fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::gelu(x, form);
    }
    composed::gelu::gelu(x, form)
}

pub(crate) fn max_pool2d(x: &Tensor, window: &Window) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::max_pool2d(x, window);
    }
    composed::max_pool2d::max_pool2d(x, window)
}

pub(crate) fn conv2d(x: &Tensor, filters: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    #[cfg(feature = "cudnn")]
    if takes(x) {
        return crate::cuda::conv2d::conv2d(x, filters, shape);
    }
    composed::conv2d::conv2d(x, filters, shape)
}

pub(crate) fn attention(
    inputs: [&Tensor; 3],
    heads: usize,
    mask: &AttentionMask,
) -> Result<Tensor> {
    composed::attention::attention(inputs, heads, mask, softmax)
}

pub(crate) fn attention_within(
    inputs: [&Tensor; 3],
    heads: usize,
    sequences: &Sequences,
) -> Result<Tensor> {
    composed::sequences::attention_within(inputs, heads, sequences, softmax)
}

/// relu(norm(x) + residual) of `x` (B, H, W, C) with the statistics of x, or those given; residual and ReLU only
/// where they are asked for. With the mean and the biased variance of each channel.
pub(crate) fn batch_norm(
    x: &Tensor,
    affine: [&Tensor; 2],
    residual: Option<&Tensor>,
    (eps, relu): (f64, bool),
    given: Option<[&Tensor; 2]>,
) -> Result<(Tensor, [Tensor; 2])> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return norm::norm(x, affine, residual, (eps, relu), given);
    }
    let (mut y, statistics) = composed::batch_norm::batch_norm(x, affine, eps, given)?;
    if let Some(residual) = residual {
        y = (y + residual)?;
    }
    if relu {
        y = composed::relu::relu(&y)?;
    }
    Ok((y, statistics))
}
