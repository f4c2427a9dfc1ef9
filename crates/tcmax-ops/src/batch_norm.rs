//! Batch normalisation with running statistics that no optimiser sees.
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
//! Statistics are two-pass sums in f64, one channel a task, so they do not depend on the number of
//! threads.

use candle_core::{
    CpuStorage, CustomOp3, FloatDType, Layout, Result as CandleResult, Shape, Storage, Tensor, Var,
    bail,
};
use rayon::prelude::*;

use crate::cpu::{check_dtype, dispatch, values};
use crate::{Init, ParamBuilder, Result};

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

/// Batch normalisation of (B, C, H, W) over B, H and W.
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

    /// Normalises `x` (B, C, H, W); in training also updates the running statistics.
    ///
    /// # Errors
    /// When the shape or element type does not fit, or a training batch has a single value a
    /// channel, whose variance is undefined.
    pub fn forward(&self, x: &Tensor, train: bool) -> CandleResult<Tensor> {
        let channels = self.weight.elem_count();
        match x.dims() {
            &[_, c, _, _] if c == channels => {}
            got => bail!("{OP}: got input {got:?}, wanted [batch, {channels}, height, width]"),
        }
        if train { self.forward_train(x) } else { self.forward_eval(x) }
    }

    /// relu(forward(x) + residual), each part only if asked for: what follows a batch norm in a
    /// residual network, kept together so that it can be computed together.
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
        let mut y = self.forward(x, train)?;
        if let Some(residual) = residual {
            y = (y + residual)?;
        }
        if relu { y.relu() } else { Ok(y) }
    }

    fn forward_train(&self, x: &Tensor) -> CandleResult<Tensor> {
        let (batch, _, height, width) = x.dims4()?;
        let count = batch * height * width;
        if count < 2 {
            bail!("{OP}: training needs at least 2 values a channel, got input {:?}", x.dims());
        }
        if !x.device().is_cpu() {
            return self.composed_train(x, count);
        }
        check_dtype(x, OP)?;
        let x = x.contiguous()?;
        let statistics = batch_statistics(&x)?;
        let unbiased = count as f64 / (count - 1) as f64;
        let mean = Tensor::new(statistics.mean.as_slice(), x.device())?;
        let var = Tensor::new(statistics.var.as_slice(), x.device())?;
        self.update_running(&mean, &(var * unbiased)?)?;
        let op = Normalise { statistics, eps: self.config.eps, train: true };
        x.apply_op3(&self.weight, &self.bias, op)
    }

    fn forward_eval(&self, x: &Tensor) -> CandleResult<Tensor> {
        let (mean, var) =
            (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
        if !x.device().is_cpu() {
            let shift = |v: &Tensor| v.reshape((1, (), 1, 1));
            let centred = x.broadcast_sub(&shift(&mean)?)?;
            return self.scale(&centred, &shift(&var)?);
        }
        check_dtype(x, OP)?;
        let read = |v: &Tensor| v.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
        let statistics = Statistics { mean: read(&mean)?, var: read(&var)? };
        let op = Normalise { statistics, eps: self.config.eps, train: false };
        x.contiguous()?.apply_op3(&self.weight, &self.bias, op)
    }

    /// The training pass in candle operations, for devices without the kernel.
    fn composed_train(&self, x: &Tensor, count: usize) -> CandleResult<Tensor> {
        let channel_mean = |t: &Tensor| t.mean_keepdim(0)?.mean_keepdim(2)?.mean_keepdim(3);
        let mean = channel_mean(x)?;
        let centred = x.broadcast_sub(&mean)?;
        let var = channel_mean(&centred.sqr()?)?;
        let unbiased = count as f64 / (count - 1) as f64;
        let flat = |t: &Tensor| t.detach().flatten_all();
        self.update_running(&flat(&mean)?, &(flat(&var)? * unbiased)?)?;
        self.scale(&centred, &var)
    }

    fn scale(&self, centred: &Tensor, var: &Tensor) -> CandleResult<Tensor> {
        let std = (var + self.config.eps)?.sqrt()?;
        let normal = centred.broadcast_div(&std)?;
        let shape = |t: &Tensor| t.reshape((1, (), 1, 1));
        normal.broadcast_mul(&shape(&self.weight)?)?.broadcast_add(&shape(&self.bias)?)
    }

    fn update_running(&self, mean: &Tensor, unbiased_var: &Tensor) -> CandleResult<()> {
        for (running, batch) in [(&self.running_mean, mean), (&self.running_var, unbiased_var)] {
            let share = self.config.momentum;
            // In f64, so that a double-precision run keeps its precision.
            let old = running.as_detached_tensor().to_dtype(batch.dtype())?;
            let new = ((old * (1.0 - share))? + (batch * share)?)?;
            running.set(&new.to_dtype(running.dtype())?)?;
        }
        Ok(())
    }
}

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
struct Statistics {
    mean: Vec<f64>,
    var: Vec<f64>,
}

fn batch_statistics(x: &Tensor) -> CandleResult<Statistics> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("{OP}: the kernel needs a CPU tensor") };
    let (_, channels, height, width) = x.dims4()?;
    let planes = Planes { channels, plane: height * width };
    Ok(match storage {
        CpuStorage::F32(_) => planes.statistics(values::<f32>(storage, layout, OP)?),
        CpuStorage::F64(_) => planes.statistics(values::<f64>(storage, layout, OP)?),
        _ => bail!("{OP}: f32 and f64 are supported"),
    })
}

/// The planes (H, W) of a contiguous (B, C, H, W) tensor, channel by channel.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    plane: usize,
}

impl Planes {
    fn of_channel<'a, T>(&self, values: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> {
        values.chunks_exact(self.plane).skip(channel).step_by(self.channels)
    }

    fn statistics<T: FloatDType>(&self, values: &[T]) -> Statistics {
        let count = (values.len() / self.channels) as f64;
        let one_channel = |channel: usize| {
            let planes = || self.of_channel(values, channel);
            let sum: f64 = planes().map(|p| p.iter().map(|v| v.to_f64()).sum::<f64>()).sum();
            let mean = sum / count;
            let squares = |p: &[T]| p.iter().map(|v| (v.to_f64() - mean).powi(2)).sum::<f64>();
            (mean, planes().map(squares).sum::<f64>() / count)
        };
        let (mean, var) = (0..self.channels).into_par_iter().map(one_channel).unzip();
        Statistics { mean, var }
    }
}

/// The normalisation with given statistics; in training they are functions of x.
struct Normalise {
    statistics: Statistics,
    eps: f64,
    train: bool,
}

impl Normalise {
    fn inverse_std(&self, channel: usize) -> f64 {
        1.0 / (self.statistics.var[channel] + self.eps).sqrt()
    }
}

impl CustomOp3 for Normalise {
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
    ) -> CandleResult<(CpuStorage, Shape)> {
        let arguments = [(x, x_layout), (weight, weight_layout), (bias, bias_layout)];
        let y = dispatch!(x, OP, forward(self, arguments));
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = match x.dtype() {
            candle_core::DType::F32 => backward::<f32>(self, x, weight, grad)?,
            _ => backward::<f64>(self, x, weight, grad)?,
        };
        Ok((Some(dx), Some(dw), Some(db)))
    }
}

fn forward<T: FloatDType>(
    op: &Normalise,
    [x, weight, bias]: [(&CpuStorage, &Layout); 3],
) -> CandleResult<Vec<T>> {
    let (_, channels, height, width) = x.1.shape().dims4()?;
    let x = values::<T>(x.0, x.1, OP)?;
    let weight = values::<T>(weight.0, weight.1, OP)?;
    let bias = values::<T>(bias.0, bias.1, OP)?;
    let plane = (height * width).max(1);
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(plane).zip(x.par_chunks(plane)).enumerate().for_each(|(index, (y, x))| {
        let channel = index % channels;
        let scale = T::from_f64(weight[channel].to_f64() * op.inverse_std(channel));
        // Subtracting the mean first keeps precision where it is large beside the spread.
        let (mean, bias) = (T::from_f64(op.statistics.mean[channel]), bias[channel]);
        for (y, x) in y.iter_mut().zip(x) {
            *y = (*x - mean) * scale + bias;
        }
    });
    Ok(y)
}

/// Gradients of x, weight and bias. With g the incoming gradient and n the normalised x:
/// db = sum g, dw = sum g n, dx = w / std (g - mean g - n mean(g n)) in training, w / std g else.
fn backward<T: FloatDType>(
    op: &Normalise,
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> CandleResult<[Tensor; 3]> {
    let (batch, channels, height, width) = x.dims4()?;
    let (x, grad) = (x.contiguous()?, grad.contiguous()?);
    let weight = weight.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
    let (x_storage, x_layout) = x.storage_and_layout();
    let (grad_storage, grad_layout) = grad.storage_and_layout();
    let (Storage::Cpu(x_values), Storage::Cpu(grad_values)) = (&*x_storage, &*grad_storage) else {
        bail!("{OP}: the kernel needs CPU tensors");
    };
    let x_values = values::<T>(x_values, x_layout, OP)?;
    let grad_values = values::<T>(grad_values, grad_layout, OP)?;
    let planes = Planes { channels, plane: height * width };
    let count = (batch * height * width) as f64;

    let sums_of_channel = |channel: usize| {
        let (mean, inverse_std) = (op.statistics.mean[channel], op.inverse_std(channel));
        let (mut db, mut dw) = (0.0, 0.0);
        let pairs =
            planes.of_channel(x_values, channel).zip(planes.of_channel(grad_values, channel));
        for (x, grad) in pairs {
            for (x, g) in x.iter().zip(grad) {
                db += g.to_f64();
                dw += g.to_f64() * (x.to_f64() - mean) * inverse_std;
            }
        }
        (dw, db)
    };
    let (dw, db): (Vec<f64>, Vec<f64>) = (0..channels).into_par_iter().map(sums_of_channel).unzip();

    let mut dx = vec![T::zero(); x_values.len()];
    let plane = planes.plane.max(1);
    let inputs = x_values.par_chunks(plane).zip(grad_values.par_chunks(plane));
    dx.par_chunks_mut(plane).zip(inputs).enumerate().for_each(|(index, (dx, (x, grad)))| {
        let channel = index % channels;
        let inverse_std = op.inverse_std(channel);
        let scale = T::from_f64(weight[channel] * inverse_std);
        let (mean_g, slope) = if op.train {
            (db[channel] / count, dw[channel] / count * inverse_std)
        } else {
            (0.0, 0.0)
        };
        let mean = T::from_f64(op.statistics.mean[channel]);
        let (mean_g, slope) = (T::from_f64(mean_g), T::from_f64(slope));
        for ((dx, x), g) in dx.iter_mut().zip(x).zip(grad) {
            *dx = (*g - mean_g - (*x - mean) * slope) * scale;
        }
    });
    let vector = |v: Vec<f64>| Tensor::new(v, x.device())?.to_dtype(x.dtype());
    Ok([Tensor::from_vec(dx, x.shape(), x.device())?, vector(dw)?, vector(db)?])
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
        let x = Var::randn(2.0f64, 3.0, (4, 3, 5, 2), &Device::Cpu).unwrap();
        let weights = Tensor::randn(0f64, 1.0, (4, 3, 5, 2), &Device::Cpu).unwrap();
        let run = |composed: bool| {
            let (layer, params) = layer();
            let y = if composed { layer.composed_train(&x, 40) } else { layer.forward(&x, true) };
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
        let x = Tensor::zeros((1, 3, 1, 1), DType::F64, &Device::Cpu).unwrap();
        let (layer, _) = layer();
        assert!(layer.forward(&x, true).unwrap_err().to_string().contains("at least 2"));
        assert!(layer.forward(&x, false).is_ok());
        let wrong = Tensor::zeros((2, 4, 1, 1), DType::F64, &Device::Cpu).unwrap();
        assert!(layer.forward(&wrong, true).unwrap_err().to_string().contains("[2, 4, 1, 1]"));
    }
}
