//! Batch normalisation with running statistics that no optimiser sees, channels last.
//!
//! ```text
//! training:    y = w (x - mean) / sqrt(var + eps) + b     mean, biased var over (B, H, W)
//!              running <- (1 - momentum) running + momentum batch, with the unbiased variance
//! evaluation:  the same with the running mean and variance
//! ```
//!
//! Source: Ioffe and Szegedy 2015; conventions of PyTorch's BatchNorm2d. candle 0.11's layer keeps
//! the running statistics among the variables (`all_vars()` hands them to the optimiser), returns a
//! non-contiguous tensor in training, and divides by n - 1.
//!
//! What surrounds a batch norm in a residual network - the convolution before it, the residual, the
//! ReLU, the stem's maximum - can be asked for together and is then computed together.

use std::sync::{Arc, OnceLock};

use candle_core::{Result as CandleResult, Tensor, Var, bail};

use crate::conv2d::shape_of;
use crate::cpu::check_dtype;
use crate::kernels::Shape;
use crate::norm_op::{Norm, Then};
use crate::parcel::Parcel;
use crate::statistics::Statistics;
use crate::{
    Conv2dConfig, Init, MaxPool2dConfig, ParamBuilder, Result, conv2d, max_pool2d, to_vec_f64,
};

const OP: &str = "batch_norm";

/// Settings of a [`BatchNorm2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub eps: f64,
    /// Share of the newest batch in the running statistics.
    pub momentum: f64,
    /// How the weight starts; the bias starts at 0.
    pub weight_init: Init,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, weight_init: Init::Const(1.0) }
    }
}

/// Batch normalisation of (B, H, W, C) over B, H and W.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{BatchNorm2d, BatchNormConfig, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let norm = BatchNorm2d::new(&builder, 1, BatchNormConfig { eps: 0.0, ..Default::default() })?;
/// let x = Tensor::new(&[1f64, 3.0], &Device::Cpu)?.reshape((2, 1, 1, 1))?;
/// assert_eq!(norm.forward(&x, true)?.flatten_all()?.to_vec1::<f64>()?, [-1.0, 1.0]);
/// // Running mean 0.1 * 2, running variance 0.9 * 1 + 0.1 * 2 (unbiased).
/// let y = norm.forward(&x, false)?.flatten_all()?.to_vec1::<f64>()?;
/// assert!((y[0] - (1.0 - 0.2) / 1.1f64.sqrt()).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    config: BatchNormConfig,
}

impl BatchNorm2d {
    /// A layer with parameters `weight`, `bias` and buffers `running_mean`, `running_var`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(builder: &ParamBuilder, channels: usize, config: BatchNormConfig) -> Result<Self> {
        Ok(Self {
            weight: builder.param("weight", channels, config.weight_init)?,
            bias: builder.param("bias", channels, Init::Const(0.0))?,
            running_mean: builder.buffer("running_mean", channels, 0.0)?,
            running_var: builder.buffer("running_var", channels, 1.0)?,
            config,
        })
    }

    /// Normalises `x` (B, H, W, C); in training also updates the running statistics.
    ///
    /// # Errors
    /// When the shape or element type does not fit, or a training batch has a single value a
    /// channel, whose variance is undefined.
    pub fn forward(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.forward_fused(x, None, false, train)
    }

    /// relu(forward(x) + residual), each part only if asked for.
    ///
    /// # Errors
    /// As [`Self::forward`], and when the residual has another shape.
    pub fn forward_fused(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        train: bool,
    ) -> CandleResult<Tensor> {
        self.check_input(x.dims())?;
        if !x.device().is_cpu() {
            return self.composed(x, residual, relu, train);
        }
        check_dtype(x, OP)?;
        let then = if relu { Then::Relu } else { Then::Nothing };
        self.run(x, None, residual, then, train)
    }

    /// relu(forward(conv2d(x, weight)) + residual), ReLU and residual only if asked for: a unit of a
    /// residual network.
    ///
    /// # Errors
    /// As [`Self::forward_fused`] and [`conv2d`](crate::conv2d()).
    pub fn forward_conv(
        &self,
        x: &Tensor,
        (weight, conv): (&Tensor, Conv2dConfig),
        residual: Option<&Tensor>,
        relu: bool,
        train: bool,
    ) -> CandleResult<Tensor> {
        if !x.device().is_cpu() {
            return self.forward_fused(&conv2d(x, weight, conv)?, residual, relu, train);
        }
        let shape = self.shape_after(x, weight, conv)?;
        let then = if relu { Then::Relu } else { Then::Nothing };
        self.run(x, Some((weight, shape)), residual, then, train)
    }

    /// max_pool2d(relu(forward(conv2d(x, weight)))): the stem of a residual network. The normalised
    /// image is never written.
    ///
    /// # Errors
    /// As [`Self::forward_conv`] and [`max_pool2d`](crate::max_pool2d()).
    pub fn forward_stem(
        &self,
        x: &Tensor,
        (weight, conv): (&Tensor, Conv2dConfig),
        pool: MaxPool2dConfig,
        train: bool,
    ) -> CandleResult<Tensor> {
        if !x.device().is_cpu() {
            let y = self.forward_conv(x, (weight, conv), None, true, train)?;
            return max_pool2d(&y, pool);
        }
        let shape = self.shape_after(x, weight, conv)?;
        let then = Then::ReluPool(pool.window(shape.window.out)?);
        self.run(x, Some((weight, shape)), None, then, train)
    }

    /// The sizes of a convolution before the layer, after checking that both fit.
    fn shape_after(&self, x: &Tensor, weight: &Tensor, conv: Conv2dConfig) -> CandleResult<Shape> {
        let shape = shape_of(x, weight, conv)?;
        check_dtype(x, OP)?;
        let (height, width) = shape.window.out;
        self.check_input(&[shape.batch, height, width, shape.to])?;
        Ok(shape)
    }

    fn channels(&self) -> usize {
        self.weight.elem_count()
    }

    fn check_input(&self, dims: &[usize]) -> CandleResult<()> {
        let channels = self.channels();
        match dims {
            &[b, h, w, c] if c == channels && b * h * w > 0 => Ok(()),
            got => bail!("{OP}: got input {got:?}, wanted [batch, height, width, {channels}]"),
        }
    }

    /// Applies the kernel.
    fn run(
        &self,
        x: &Tensor,
        conv: Option<(&Tensor, Shape)>,
        residual: Option<&Tensor>,
        then: Then,
        train: bool,
    ) -> CandleResult<Tensor> {
        let dims = match &conv {
            Some((_, shape)) => shape.out_dims().dims().to_vec(),
            None => x.dims().to_vec(),
        };
        if let Some(residual) = residual
            && (residual.dims() != dims || residual.dtype() != x.dtype())
        {
            let (got, kind) = (residual.dims(), residual.dtype());
            bail!("{OP}: got residual {got:?} {kind:?} for output {dims:?} {:?}", x.dtype());
        }
        let count = dims[..3].iter().product();
        self.check_count(count, train)?;
        let given = if train { None } else { Some(self.running()?) };
        let saved = Arc::new(OnceLock::new());
        let mut parameters = vec![self.weight.clone(), self.bias.clone()];
        parameters.extend(conv.map(|(weight, _)| weight.clone()));
        let parameters = Parcel::new(parameters)?;
        let token = parameters.token().clone();
        let norm = Norm {
            conv: conv.map(|(_, shape)| shape),
            parameters,
            then,
            eps: self.config.eps,
            given,
            saved: Arc::clone(&saved),
        };
        let x = x.contiguous()?;
        let y = match residual {
            Some(residual) => x.apply_op3(&token, &residual.contiguous()?, norm)?,
            None => x.apply_op2(&token, norm)?,
        };
        if train && let Some(saved) = saved.get() {
            let device = self.weight.device();
            let mean = Tensor::new(saved.statistics.mean.as_slice(), device)?;
            let var = Tensor::new(saved.statistics.var.as_slice(), device)?;
            self.update_running(&mean, &(var * unbiased(count))?)?;
        }
        Ok(y)
    }

    fn check_count(&self, count: usize, train: bool) -> CandleResult<()> {
        if train && count < 2 {
            bail!("{OP}: training needs at least 2 values a channel, got {count}");
        }
        Ok(())
    }

    fn running(&self) -> CandleResult<Statistics> {
        let (mean, var) = (to_vec_f64(&self.running_mean)?, to_vec_f64(&self.running_var)?);
        Ok(Statistics { mean, var })
    }

    /// The layer in candle operations, for devices without the kernel.
    fn composed(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        train: bool,
    ) -> CandleResult<Tensor> {
        let count = x.elem_count() / self.channels();
        self.check_count(count, train)?;
        let rows = x.reshape((count, self.channels()))?;
        let (centred, var) = if train {
            let mean = rows.mean_keepdim(0)?;
            let centred = rows.broadcast_sub(&mean)?;
            let var = centred.sqr()?.mean_keepdim(0)?;
            let flat = |t: &Tensor| t.detach().flatten_all();
            self.update_running(&flat(&mean)?, &(flat(&var)? * unbiased(count))?)?;
            (centred, var)
        } else {
            let mean = self.running_mean.as_detached_tensor();
            (rows.broadcast_sub(&mean)?, self.running_var.as_detached_tensor().unsqueeze(0)?)
        };
        let normal = centred.broadcast_div(&(var + self.config.eps)?.sqrt()?)?;
        let y = normal.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?;
        let mut y = y.reshape(x.shape())?;
        if let Some(residual) = residual {
            y = (y + residual)?;
        }
        if relu { crate::relu(&y) } else { Ok(y) }
    }

    fn update_running(&self, mean: &Tensor, unbiased_var: &Tensor) -> CandleResult<()> {
        for (running, batch) in [(&self.running_mean, mean), (&self.running_var, unbiased_var)] {
            let share = self.config.momentum;
            // In the batch's type, f64 on the CPU, so that a double-precision run stays one.
            let old = running.as_detached_tensor().to_dtype(batch.dtype())?;
            let new = ((old * (1.0 - share))? + (batch * share)?)?;
            running.set(&new.to_dtype(running.dtype())?)?;
        }
        Ok(())
    }
}

/// Turns a biased variance of so many values into the unbiased one.
fn unbiased(count: usize) -> f64 {
    count as f64 / (count - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use candle_core::{D, DType, Device};

    fn layer() -> (BatchNorm2d, crate::Params) {
        let builder = ParamBuilder::new(Seed::new(1), DType::F64, &Device::Cpu);
        let config = BatchNormConfig {
            weight_init: Init::Normal { mean: 1.0, std: 0.5 },
            ..BatchNormConfig::default()
        };
        (BatchNorm2d::new(&builder, 3, config).unwrap(), builder.params())
    }

    #[test]
    fn the_composed_pass_agrees_with_the_kernel() {
        let x = Var::randn(2.0f64, 3.0, (4, 5, 2, 3), &Device::Cpu).unwrap();
        let weights = Tensor::randn(0f64, 1.0, (4, 5, 2, 3), &Device::Cpu).unwrap();
        let run = |composed: bool| {
            let (layer, params) = layer();
            let y = if composed {
                layer.composed(&x, None, false, true)
            } else {
                layer.forward(&x, true)
            };
            let y = y.unwrap();
            let grads = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![y.clone(), grads.get(x.as_tensor()).unwrap().clone()];
            for (_, var) in params.trainable() {
                all.push(grads.get(var.as_tensor()).unwrap().clone());
            }
            all.extend(params.buffers().map(|(_, var)| var.as_tensor().clone()));
            all
        };
        for (kernel, composed) in run(false).iter().zip(run(true)) {
            let gap = (kernel - composed).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(gap.max(D::Minus1).unwrap().to_scalar::<f64>().unwrap() < 1e-12);
        }
    }

    #[test]
    fn one_value_a_channel_cannot_be_trained() {
        let x = Tensor::zeros((1, 1, 1, 3), DType::F64, &Device::Cpu).unwrap();
        let (layer, _) = layer();
        assert!(layer.forward(&x, true).unwrap_err().to_string().contains("at least 2"));
        assert!(layer.forward(&x, false).is_ok());
        let wrong = Tensor::zeros((2, 1, 1, 4), DType::F64, &Device::Cpu).unwrap();
        assert!(layer.forward(&wrong, true).unwrap_err().to_string().contains("[2, 1, 1, 4]"));
    }
}
