//! Operations on other devices than a CPU: by a kernel where there is one for the device, else from candle's own
//! operations.

use std::sync::Arc;

use candle_core::{Device, Result, Shape, Tensor};
use tcmax_parallel::Group;

use crate::activation::Gelu;
use crate::composed;
use crate::composed::dropout::Chances;
#[cfg(feature = "cuda")]
use crate::cuda::{graph, launch::takes, norm};
use crate::geometry::{ConvShape, Window};
use crate::mask::AttentionMask;
use crate::sequences::Sequences;
use crate::training::seed::Seed;

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

/// A tensor of these values on a device: on a CPU the values themselves. Threads that bring batches to one of NVIDIA's
/// devices do not wait there for what it computes: the values go through memory that it reads by itself, a few times as
/// much as one batch has.
///
/// ```
/// use candle_core::Device;
///
/// # fn main() -> candle_core::Result<()> {
/// let x = tcmax_ops::tensor_on(vec![1.0, 2.0, 3.0, 4.0], (2, 2), &Device::Cpu)?;
/// assert_eq!(x.to_vec2::<f32>()?, [[1.0, 2.0], [3.0, 4.0]]);
/// assert!(tcmax_ops::tensor_on(vec![1.0], 2, &Device::Cpu).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the shape has another number of values, or the device fails.
pub fn tensor_on(values: Vec<f32>, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device
        && values.len() == shape.elem_count()
        && !values.is_empty()
    {
        return crate::cuda::pinned::tensor(&values, shape, device);
    }
    Tensor::from_vec(values, shape, device)
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

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::relu(x);
    }
    composed::relu::relu(x)
}

pub(crate) fn dropout(x: &Tensor, chances: Chances, seed: Seed) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::dropout(x, chances, seed);
    }
    composed::dropout::dropout(x, chances, seed)
}

/// x W^T + b.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if takes(x) {
        return graph::add_bias(&x.matmul(&weight.t()?)?, bias);
    }
    composed::linear::linear(x, weight, bias)
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
    let (y, statistics) = composed::batch_norm::batch_norm(x, affine, eps, given)?;
    Ok((residual_and_relu(y, residual, relu)?, statistics))
}

/// relu(y + residual), of what there is of both.
pub(crate) fn residual_and_relu(
    mut y: Tensor,
    residual: Option<&Tensor>,
    is_rectified: bool,
) -> Result<Tensor> {
    if let Some(residual) = residual {
        y = (y + residual)?;
    }
    if is_rectified { relu(&y) } else { Ok(y) }
}
