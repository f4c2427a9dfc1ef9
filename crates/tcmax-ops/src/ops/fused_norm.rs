//! Convolution, batch normalisation, residual, ReLU and maximum as one operation of candle's graph.
//!
//! candle's graph stores nothing between the parts of one operation: the gradient between convolution and
//! normalisation is neither added to zeros nor copied, and the large normalised activation of a stem is
//! never written.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::composed;
use crate::cpu::conv2d::{self, Convolve};
use crate::cpu::normalise::{Incoming, Normaliser, Sums};
use crate::cpu::pool::{self, PooledGradient};
use crate::cpu::statistics::{Moments, Statistics};
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, values};
use crate::geometry::{ConvShape, Window};
use crate::graph::hidden::{Argument, Hidden};
use crate::graph::packed::PackedParameters;
use crate::ops::conv2d::{Conv2dConfig, shape_of};
use crate::ops::max_pool2d::MaxPool2dConfig;
use crate::ops::of_members::{added, merged};
use crate::training::members::Members;
use crate::wide::to_vec_f64;

const OP: &str = "batch_norm";

/// What is computed together with a normalisation: pool(relu(norm(conv(x)) + residual)). Before a pool
/// there always is a ReLU, and never a residual.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// Filters of a convolution before the norm.
    pub(crate) conv: Option<(&'a Tensor, Conv2dConfig)>,
    pub(crate) residual: Option<&'a Tensor>,
    pub(crate) relu: bool,
    pub(crate) pool: Option<MaxPool2dConfig>,
}

/// A normalisation by channel.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) weight: &'a Tensor,
    pub(crate) bias: &'a Tensor,
    pub(crate) eps: f64,
    /// Mean and variance to use instead of the batch's own.
    pub(crate) given: Option<[&'a Tensor; 2]>,
    /// Whose values the batch's statistics are of, besides those here.
    pub(crate) members: Option<&'a Members>,
}

pub(crate) struct Output<Y = Tensor> {
    pub(crate) y: Y,
    /// Mean and biased variance of each channel.
    pub(crate) statistics: [Tensor; 2],
    /// Values of each channel.
    pub(crate) count: usize,
}

/// Normalises `x` with what is around it.
///
/// # Errors
/// When shapes or element types do not fit, or the batch's own statistics are used and each channel has
/// a single value.
pub(crate) fn fused_norm(x: &Tensor, norm: Norm<'_>, around: Around<'_>) -> Result<Output> {
    let sizes = Sizes::new(x, norm, around)?;
    let pass = if x.device().is_cpu() { by_kernel } else { by_composition };
    pass(x, norm, around, &sizes)
}

/// As [`fused_norm`], of hidden values and a hidden residual; that of `around` is ignored.
pub(crate) fn fused_norm_hidden(
    x: &Hidden,
    residual: Option<&Hidden>,
    norm: Norm<'_>,
    around: Around<'_>,
) -> Result<Output<Hidden>> {
    let around = Around { residual: residual.map(Hidden::values), ..around };
    if !x.is_apart() {
        let Output { y, statistics, count } = fused_norm(x.values(), norm, around)?;
        return Ok(Output { y: Hidden::plain(y), statistics, count });
    }
    let sizes = Sizes::new(x.values(), norm, around)?;
    let op = FusedNorm::new(norm, around, &sizes, x.is_tracked())?;
    let (handle, saved) = (op.parameters.handle().clone(), Arc::clone(&op.saved));
    let x_values = x.values().contiguous()?;
    let residual_values = around.residual.map(Tensor::contiguous).transpose()?;
    let y = match &residual_values {
        Some(residual) => x_values.apply_op3_no_bwd(&handle, residual, &op)?,
        None => x_values.apply_op2_no_bwd(&handle, &op)?,
    };
    let Output { y, statistics, count } = output(y, &saved)?;
    let arguments = [
        Argument::Hidden(x),
        Argument::Parameter(&handle),
        residual.map_or(Argument::Nothing, Argument::Hidden),
    ];
    let result = y.clone();
    let hidden = Hidden::result(&y, arguments, move |grad| {
        op.backward(&x_values, residual_values.as_ref(), &result, grad)
    })?;
    Ok(Output { y: hidden, statistics, count })
}

struct Sizes {
    conv: Option<ConvShape>,
    pool: Option<Window>,
    /// Values of each channel.
    count: usize,
}

impl Sizes {
    /// The sizes, after checking that everything fits.
    fn new(x: &Tensor, norm: Norm<'_>, around: Around<'_>) -> Result<Self> {
        if x.device().is_cpu() {
            check_dtype(x, OP)?;
        }
        let conv = around.conv.map(|(filters, config)| shape_of(x, filters, config)).transpose()?;
        let dims = conv.map_or_else(|| x.shape().clone(), |conv| conv.out_dims()).into_dims();
        let channels = norm.weight.elem_count();
        let (count, image) = match dims[..] {
            [b, h, w, c] if c == channels && b * h * w > 0 => (b * h * w, (h, w)),
            _ => bail!("{OP}: got input {dims:?}, wanted [batch, height, width, {channels}]"),
        };
        // Of several members, the count of all is known after the exchange.
        if norm.given.is_none() && norm.members.is_none() && count < 2 {
            bail!("{OP}: training needs at least 2 values in each channel, got {count}");
        }
        if let Some(residual) = around.residual
            && (residual.dims() != dims || residual.dtype() != x.dtype())
        {
            let (got, kind) = (residual.dims(), residual.dtype());
            bail!("{OP}: got residual {got:?} {kind:?} for output {dims:?} {:?}", x.dtype());
        }
        let pool = around.pool.map(|pool| pool.window(image)).transpose()?;
        Ok(Self { conv, pool, count })
    }
}

/// Output and statistics by the operation below.
fn by_kernel(x: &Tensor, norm: Norm<'_>, around: Around<'_>, sizes: &Sizes) -> Result<Output> {
    let op = FusedNorm::new(norm, around, sizes, x.track_op())?;
    let (handle, saved) = (op.parameters.handle().clone(), Arc::clone(&op.saved));
    let x = x.contiguous()?;
    let y = match around.residual {
        Some(residual) => x.apply_op3(&handle, &residual.contiguous()?, op)?,
        None => x.apply_op2(&handle, op)?,
    };
    output(y, &saved)
}

/// A result with the statistics that the forward pass has left.
fn output(y: Tensor, saved: &OnceLock<Saved>) -> Result<Output> {
    let Some(Saved { statistics: Statistics { mean, var }, count, .. }) = saved.get() else {
        bail!("{OP}: the forward pass left nothing");
    };
    let statistics = [Tensor::new(&mean[..], y.device())?, Tensor::new(&var[..], y.device())?];
    Ok(Output { y, statistics, count: *count })
}

/// The same from operations of candle.
fn by_composition(x: &Tensor, norm: Norm<'_>, around: Around<'_>, sizes: &Sizes) -> Result<Output> {
    if norm.members.is_some() {
        bail!("{OP}: batch statistics of several members are computed on the CPU alone");
    }
    let x = match around.conv.zip(sizes.conv) {
        Some(((filters, _), shape)) => &composed::conv2d::conv2d(x, filters, &shape)?,
        None => x,
    };
    let affine = [norm.weight, norm.bias];
    let (mut y, statistics) = composed::batch_norm::batch_norm(x, affine, norm.eps, norm.given)?;
    if let Some(residual) = around.residual {
        y = (y + residual)?;
    }
    if around.relu || sizes.pool.is_some() {
        y = composed::relu::relu(&y)?;
    }
    if let Some(window) = &sizes.pool {
        y = composed::max_pool2d::max_pool2d(&y, window)?;
    }
    Ok(Output { y, statistics, count: sizes.count })
}

/// The operation. Without a residual it takes x and the handle of the parameters, with one also the
/// residual.
struct FusedNorm {
    /// Whether the input gets a gradient.
    of_input: bool,
    /// The convolution before the normalisation.
    conv: Option<ConvShape>,
    /// Weight and bias; after them the convolution's filters.
    parameters: PackedParameters,
    relu: bool,
    /// A ReLU and the maximum of each window.
    pool: Option<Window>,
    eps: f64,
    /// Statistics to use instead of the batch's own.
    given: Option<Statistics>,
    /// The members whose values the statistics are of, and whether those here count.
    others: Option<(Members, bool)>,
    /// What the forward pass leaves for the backward pass and for the running statistics.
    saved: Arc<OnceLock<Saved>>,
}

struct Saved {
    statistics: Statistics,
    /// The values of each channel that the statistics are of.
    count: usize,
    /// The output of the convolution.
    convolved: Option<CpuStorage>,
    taps: Vec<u8>,
}

impl FusedNorm {
    fn new(norm: Norm<'_>, around: Around<'_>, sizes: &Sizes, of_input: bool) -> Result<Self> {
        let given = match norm.given {
            Some([mean, var]) => {
                Some(Statistics { mean: to_vec_f64(mean)?, var: to_vec_f64(var)? })
            }
            None => None,
        };
        let mut parameters = vec![norm.weight.clone(), norm.bias.clone()];
        parameters.extend(around.conv.map(|(filters, _)| filters.clone()));
        Ok(Self {
            of_input,
            conv: sizes.conv,
            parameters: PackedParameters::new(parameters)?,
            relu: around.relu,
            pool: sizes.pool,
            eps: norm.eps,
            given,
            others: norm.members.map(|members| (members.clone(), members.counts())),
            saved: Arc::default(),
        })
    }

    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(x, OP, |T| {
            let x = values::<T>(x, x_layout, OP)?;
            let residual = residual.map(|r| values::<T>(r.0, r.1, OP)).transpose()?;
            self.parameters.read(OP, |parameters| {
                let convolved = self.conv.map(|shape| conv2d::forward(&shape, x, parameters[2]));
                self.normalise(x, convolved, [parameters[0], parameters[1]], residual)
            })?
        });
        let shape = self.conv.map_or_else(|| x_layout.shape().clone(), |conv| conv.out_dims());
        let (batch, mut height, mut width, channels) = shape.dims4()?;
        if let Some(window) = &self.pool {
            (height, width) = window.out;
        }
        Ok((storage, Shape::from((batch, height, width, channels))))
    }

    fn normalise<T: Convolve>(
        &self,
        x: &[T],
        convolved: Option<Vec<T>>,
        [weight, bias]: [&[T]; 2],
        residual: Option<&[T]>,
    ) -> Result<Vec<T>> {
        let values = convolved.as_deref().unwrap_or(x);
        let (statistics, count) = self.statistics(values, weight.len())?;
        let normaliser = Normaliser { statistics: &statistics, eps: self.eps, weight, bias };
        let mut taps = Vec::new();
        let y = match &self.pool {
            None => normaliser.apply(values, residual, self.relu),
            Some(window) => {
                let affine = normaliser.affine();
                let pooled = pool::max(values, window, weight.len(), Some(&affine));
                taps = pooled.taps;
                pooled.values
            }
        };
        let convolved = convolved.map(T::storage);
        // Set once, because an operation is applied once.
        let _ = self.saved.set(Saved { statistics, count, convolved, taps });
        Ok(y)
    }

    /// The statistics to use, and of how many values of each channel they are.
    fn statistics<T: Convolve>(
        &self,
        values: &[T],
        channels: usize,
    ) -> Result<(Statistics, usize)> {
        let count = values.len() / channels;
        match (&self.given, &self.others) {
            (Some(given), _) => Ok((given.clone(), count)),
            (None, None) => Ok((Statistics::of(values, channels), count)),
            (None, Some((members, counts))) => {
                let own = match counts {
                    true => Moments::of(values, channels),
                    false => Moments::none(channels),
                };
                let all = merged(members, &own, channels)?;
                let count = all.count as usize;
                if count < 2 {
                    bail!("{OP}: training needs at least 2 values in each channel, got {count}");
                }
                Ok((all.statistics(), count))
            }
        }
    }

    /// What the gradient of the input needs: sums over all values that the statistics are of, and the part that
    /// each value here has in these.
    fn of_all(&self, own: Sums, saved: &Saved) -> Result<(Sums, f64)> {
        let share = 1.0 / saved.count as f64;
        match (&self.given, &self.others) {
            (Some(_), _) => Ok((own, 0.0)),
            (None, None) => Ok((own, share)),
            (None, Some((members, counts))) => {
                Ok((added(members, own)?, if *counts { share } else { 0.0 }))
            }
        }
    }

    /// The gradients of x, of the parameters' handle and of the residual.
    fn backward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        match grad.dtype() {
            DType::F32 => self.gradients::<f32>(x, residual, y, grad),
            _ => self.gradients::<f64>(x, residual, y, grad),
        }
    }

    fn gradients<T: Convolve>(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let [input, y, grad] = [x.contiguous()?, y.contiguous()?, grad.contiguous()?];
        let [opened, y, grad] = [&input, &y, &grad].map(|tensor| open(tensor, OP));
        let (x_values, y, grad) = (opened.values::<T>()?, y.values::<T>()?, grad.values::<T>()?);
        let Some(saved) = self.saved.get() else { bail!("{OP}: backward before forward") };
        let normalised = match &saved.convolved {
            Some(convolved) => T::slice(convolved)?,
            None => x_values,
        };
        self.parameters.read(OP, |values| {
            let (weight, bias) = (values[0], values[1]);
            let (eps, statistics) = (self.eps, &saved.statistics);
            let normaliser = Normaliser { statistics, eps, weight, bias };
            let incoming = match &self.pool {
                Some(window) => {
                    let (window, channels, taps) = (*window, weight.len(), &saved.taps[..]);
                    Incoming::Pooled(PooledGradient { window, channels, grad, taps })
                }
                None if self.relu => Incoming::Relu { grad, output: y },
                None => Incoming::Plain(grad),
            };
            // After the ReLU the residual's gradient is the normalisation's too.
            let masked = residual.map(|_| normaliser.residual_grad(normalised.len(), &incoming));
            let incoming = masked.as_deref().map_or(incoming, Incoming::Plain);
            let sums = normaliser.sums(normalised, &incoming);
            let parameters = self.parameters.tensors();
            let vector = |sums: &[f64], like: &Tensor| {
                let values = sums.iter().map(|sum| T::from_f64(*sum)).collect();
                tensor_of(T::storage(values), like).map(Some)
            };
            let mut gradients =
                vec![vector(&sums.weight, &parameters[0])?, vector(&sums.bias, &parameters[1])?];
            let (sums, share) = self.of_all(sums, saved)?;
            let before_norm = || normaliser.input_grad(normalised, &incoming, &sums, share);
            let mut dx = None;
            if let Some(shape) = &self.conv {
                let grad = before_norm();
                if self.of_input {
                    dx = Some(conv2d::input_grad(shape, values[2], &grad));
                }
                let dw = conv2d::weight_grad(shape, x_values, &grad);
                gradients.push(Some(tensor_of(T::storage(dw), &parameters[2])?));
            } else if self.of_input {
                dx = Some(before_norm());
            }
            let residual = residual.zip(masked);
            let residual = residual.map(|(like, grad)| tensor_of(T::storage(grad), like));
            let dx = dx.map(|dx| tensor_of(T::storage(dx), x));
            let handle = self.parameters.set_gradients(gradients)?;
            Ok([dx.transpose()?, handle, residual.transpose()?])
        })
    }
}

impl CustomOp2 for FusedNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, handle, _] = self.backward(x, None, y, grad)?;
        Ok((dx, handle))
    }
}

impl CustomOp3 for FusedNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), Some((residual, residual_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        residual: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, handle, residual] = self.backward(x, Some(residual), y, grad)?;
        Ok((dx, handle, residual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    /// Output, statistics and all gradients, fused or composed.
    fn passes(
        shape: [usize; 4],
        is_fused: bool,
        of: impl Fn(&[Tensor]) -> (Norm<'_>, Around<'_>),
    ) -> Vec<Tensor> {
        let channels = 4;
        let shapes: [&[usize]; 5] =
            [&shape, &[3, 3, shape[3], channels], &[channels], &[channels], &[2, 3, 2, channels]];
        let fill = |(seed, shape): (usize, &&[usize])| {
            let len: usize = shape.iter().product();
            let values = (0..len).map(|i| ((i * 7 + 13 * seed) as f64).sin());
            let tensor = Tensor::from_vec(values.collect::<Vec<f64>>(), *shape, &Device::Cpu);
            Var::from_tensor(&tensor.unwrap()).unwrap()
        };
        let vars: Vec<Var> = shapes.iter().enumerate().map(fill).collect();
        let mut tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let full = |value: f64| Tensor::full(value, channels, &Device::Cpu).unwrap();
        tensors.extend([full(0.3), full(1.7)]);
        let (norm, around) = of(&tensors);
        let sizes = Sizes::new(&tensors[0], norm, around).unwrap();
        let pass = if is_fused { by_kernel } else { by_composition };
        let Output { y, statistics, .. } = pass(&tensors[0], norm, around, &sizes).unwrap();
        let g = Tensor::arange(0.0, y.elem_count() as f64, &Device::Cpu).unwrap().cos().unwrap();
        let loss = (&y * g.reshape(y.shape()).unwrap()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let gradients = tensors.iter().filter_map(|tensor| gradients.get(tensor).cloned());
        std::iter::once(y.clone()).chain(statistics).chain(gradients).collect()
    }

    #[test]
    fn the_composition_agrees_with_the_fused_operation() {
        let conv = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
        let window = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
        // Convolution, residual, ReLU, pool; and gradients that there are.
        for (with_conv, with_residual, relu, pooled, gradients) in [
            (false, false, false, false, 3),
            (false, false, true, false, 3),
            (true, false, false, false, 4),
            (true, true, true, false, 5),
            (true, true, false, false, 5),
            (true, false, true, true, 4),
        ] {
            for train in [true, false] {
                let shape = if with_conv { [2, 5, 4, 3] } else { [2, 5, 4, 4] };
                let of = |is_fused: bool| {
                    passes(shape, is_fused, |t| {
                        let given = (!train).then_some([&t[5], &t[6]]);
                        let norm =
                            Norm { weight: &t[2], bias: &t[3], eps: 1e-5, given, members: None };
                        let conv = with_conv.then_some((&t[1], conv));
                        let residual = with_residual.then_some(&t[4]);
                        let pool = pooled.then_some(window);
                        (norm, Around { conv, residual, relu, pool })
                    })
                };
                let (fused, composed) = (of(true), of(false));
                assert_eq!([fused.len(), composed.len()], [3 + gradients; 2]);
                for (fused, composed) in fused.iter().zip(composed) {
                    assert_eq!(fused.dims(), composed.dims());
                    let gap = (fused - composed).unwrap().abs().unwrap().max_all().unwrap();
                    assert!(gap.to_scalar::<f64>().unwrap() < 1e-12);
                }
            }
        }
    }
}
