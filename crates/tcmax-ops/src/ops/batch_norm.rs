//! Batch normalisation with running statistics that no optimiser sees, channels last.
//!
//! ```text
//! training:    y = w (x - mean) / sqrt(var + eps) + b     mean, biased var over (B, H, W)
//!              running <- (1 - momentum) running + momentum batch, with the unbiased variance
//! evaluation:  the same with the running mean and variance
//! ```
//!
//! Where several members train together, the batch is that of a member, or of all
//! ([`Members`](crate::Members)).
//!
//! Source: Ioffe and Szegedy 2015; conventions of PyTorch's BatchNorm2d. candle 0.11's layer keeps
//! the running statistics among the variables (`all_vars()` hands them to the optimiser), returns a
//! non-contiguous tensor in training, and divides by n - 1.

use candle_core::{Result as CandleResult, Tensor, Var};

use crate::error::{Error, Result};
use crate::graph::hidden::Hidden;
use crate::ops::fused_norm::{Around, Norm, Output, fused_norm, fused_norm_hidden};
use crate::training::init::Init;
use crate::training::members::Members;
use crate::training::params::ParamBuilder;

/// Settings of a [`BatchNorm2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance.
    pub eps: f64,
    /// Weight of the newest batch in the running statistics.
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
    /// Absent where the statistics are those of the batch that a layer sees.
    members: Option<Members>,
}

impl BatchNorm2d {
    /// A layer with parameters `weight`, `bias` and buffers `running_mean`, `running_var`.
    ///
    /// # Errors
    /// When there are no channels, or a name is taken.
    pub fn new(builder: &ParamBuilder, channels: usize, config: BatchNormConfig) -> Result<Self> {
        if channels == 0 {
            return Err(Error::NoChannels);
        }
        Ok(Self {
            weight: builder.param("weight", channels, config.weight_init)?,
            bias: builder.param("bias", channels, Init::Const(0.0))?,
            running_mean: builder.buffer("running_mean", channels, 0.0)?,
            running_var: builder.buffer("running_var", channels, 1.0)?,
            config,
            members: Some(builder.members()).filter(|m| m.are_synchronised()).cloned(),
        })
    }

    /// Normalises `x` (B, H, W, C); in training also updates the running statistics.
    ///
    /// # Errors
    /// When the shape or element type does not fit, or a training batch has a single value in each
    /// channel, whose variance is undefined.
    pub fn forward(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.forward_in(Around::default(), x, train)
    }

    /// relu(forward(x)), in one pass over memory.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_relu(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        self.forward_in(Around { relu: true, ..Around::default() }, x, train)
    }

    pub(crate) fn channels(&self) -> usize {
        self.weight.elem_count()
    }

    /// Normalises together with what is around the norm.
    pub(crate) fn forward_in(
        &self,
        around: Around<'_>,
        x: &Tensor,
        train: bool,
    ) -> CandleResult<Tensor> {
        self.normalised(train, |norm| fused_norm(x, norm, around))
    }

    /// Normalises hidden values together with what is around the norm.
    pub(crate) fn forward_hidden(
        &self,
        around: Around<'_>,
        x: &Hidden,
        residual: Option<&Hidden>,
        train: bool,
    ) -> CandleResult<Hidden> {
        self.normalised(train, |norm| fused_norm_hidden(x, residual, norm, around))
    }

    /// What `pass` returns; in training the running statistics are updated by those it finds.
    fn normalised<Y>(
        &self,
        train: bool,
        pass: impl FnOnce(Norm<'_>) -> CandleResult<Output<Y>>,
    ) -> CandleResult<Y> {
        let running = [&self.running_mean, &self.running_var].map(Var::as_detached_tensor);
        let given = (!train).then_some([&running[0], &running[1]]);
        let members = self.members.as_ref().filter(|_| train);
        let norm =
            Norm { weight: &self.weight, bias: &self.bias, eps: self.config.eps, given, members };
        let Output { y, statistics: [mean, var], count } = pass(norm)?;
        if train {
            // The statistics are of the biased variance.
            let unbiased = count as f64 / (count - 1) as f64;
            self.update_running(&mean, &(var * unbiased)?)?;
        }
        Ok(y)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    #[test]
    fn one_value_in_each_channel_cannot_be_trained() {
        let x = Tensor::zeros((1, 1, 1, 3), DType::F64, &Device::Cpu).unwrap();
        let builder = ParamBuilder::new(Seed::new(1), DType::F64, &Device::Cpu);
        let layer = BatchNorm2d::new(&builder, 3, BatchNormConfig::default()).unwrap();
        assert!(layer.forward(&x, true).unwrap_err().to_string().contains("at least 2"));
        assert!(layer.forward(&x, false).is_ok());
        let wrong = Tensor::zeros((2, 1, 1, 4), DType::F64, &Device::Cpu).unwrap();
        assert!(layer.forward(&wrong, true).unwrap_err().to_string().contains("[2, 1, 1, 4]"));
    }

    #[test]
    fn no_channels_are_refused() {
        let builder = ParamBuilder::new(Seed::new(1), DType::F64, &Device::Cpu);
        let none = BatchNorm2d::new(&builder, 0, BatchNormConfig::default());
        assert!(matches!(none, Err(Error::NoChannels)));
        assert_eq!(builder.params().trainable().len(), 0);
    }
}
