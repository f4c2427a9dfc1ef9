//! Convolution, batch normalisation, residual, ReLU and maximum as one operation of candle's graph.
//!
//! candle's graph stores nothing between the parts of one operation: the gradient between convolution and
//! normalisation is neither added to zeros nor copied, and the large normalised activation of a stem is
//! never written.

mod operation;
mod parts;

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor, bail};

use self::operation::{FusedNorm, Saved};
pub(crate) use self::parts::{Around, Norm};
use self::parts::{OP, Sizes};
use crate::cpu::statistics::Statistics;
use crate::device;
use crate::graph::hidden::{Argument, Hidden};
use crate::ops::conv2d::conv2d;
use crate::ops::of_members::batch_norm;
use crate::precision::{is_half, needs_f32, widened};
use crate::reading::seen;

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
    let (weight, bias) = (&seen(norm.weight), &seen(norm.bias));
    let (x, norm) = (&seen(x), Norm { weight, bias, ..norm });
    let residual = around.residual.map(seen);
    let filters = around.conv.map(|(filters, config)| (seen(filters), config));
    let conv = filters.as_ref().map(|(filters, config)| (filters, *config));
    let around = Around { residual: residual.as_ref(), conv, ..around };
    if let Some((filters, config)) = around.conv.filter(|_| is_half(x)) {
        let x = conv2d(x, filters, config)?;
        return fused_norm(&x, norm, Around { conv: None, ..around });
    }
    if needs_f32(x) {
        let residual = around.residual.map(widened).transpose()?;
        let around = Around { residual: residual.as_ref(), ..around };
        let output = fused_norm(&widened(x)?, norm, around)?;
        return Ok(Output { y: output.y.to_dtype(x.dtype())?, ..output });
    }
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
    let values = x.values().contiguous()?;
    let y = match around.residual {
        Some(residual) => values.apply_op3_no_bwd(&handle, &residual.contiguous()?, &op)?,
        None => values.apply_op2_no_bwd(&handle, &op)?,
    };
    let Output { y, statistics, count } = output(y, &saved)?;
    let arguments = [
        Argument::Hidden(x),
        Argument::Parameter(&handle),
        residual.map_or(Argument::Nothing, Argument::Hidden),
    ];
    // What can be made again, or is not read, is not kept from here to the backward pass.
    let (x, residual) = (x.kept(values), around.residual.map(|residual| residual.shape().clone()));
    let (result, again) = (op.reads_result().then(|| y.clone()), op.made_again(y.shape()));
    let hidden = Hidden::result(&y, arguments, move |grad| {
        op.backward(&x.values()?, residual.as_ref(), result.as_ref(), grad)
    })?;
    Ok(Output { y: hidden.made_again(again), statistics, count })
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

/// The same elsewhere than on a CPU, operation by operation.
fn by_composition(x: &Tensor, norm: Norm<'_>, around: Around<'_>, sizes: &Sizes) -> Result<Output> {
    let x = match around.conv.zip(sizes.conv) {
        Some(((filters, _), shape)) => &device::conv2d(x, filters, &shape)?,
        None => x,
    };
    let relu = around.relu || sizes.pool.is_some();
    let affine = [norm.weight, norm.bias];
    let (mut y, statistics, count) = match norm.members {
        Some(members) => {
            let (y, statistics, count) = batch_norm(x, affine, norm.eps, members)?;
            (device::residual_and_relu(y, around.residual, relu)?, statistics, count)
        }
        None => {
            let after = (norm.eps, relu);
            let (y, found) = device::batch_norm(x, affine, around.residual, after, norm.given)?;
            (y, found, sizes.count)
        }
    };
    if let Some(window) = &sizes.pool {
        y = device::max_pool2d(&y, window)?;
    }
    Ok(Output { y, statistics, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::conv2d::Conv2dConfig;
    use crate::ops::max_pool2d::MaxPool2dConfig;
    use crate::training::members::Members;
    use candle_core::{Device, Var};
    use tcmax_parallel::{Alone, Group, Threads, run};

    /// Output, statistics and all gradients, fused or composed, of other values for every rank.
    fn passes(
        shape: [usize; 4],
        (is_fused, members): (bool, Option<&Members>),
        of: impl Fn(&[Tensor]) -> (Norm<'_>, Around<'_>),
    ) -> Vec<Tensor> {
        let channels = 4;
        let rank = members.map_or(0, |members| members.group().rank());
        let shapes: [&[usize]; 5] =
            [&shape, &[3, 3, shape[3], channels], &[channels], &[channels], &[2, 3, 2, channels]];
        let fill = |(seed, shape): (usize, &&[usize])| {
            let len: usize = shape.iter().product();
            // Members have inputs and residuals of their own, and the same parameters.
            let own = if [0, 4].contains(&seed) { 101 * rank } else { 0 };
            let values = (0..len).map(|i| ((i * 7 + 13 * seed + own) as f64).sin());
            let tensor = Tensor::from_vec(values.collect::<Vec<f64>>(), *shape, &Device::Cpu);
            Var::from_tensor(&tensor.unwrap()).unwrap()
        };
        let vars: Vec<Var> = shapes.iter().enumerate().map(fill).collect();
        let mut tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let full = |value: f64| Tensor::full(value, channels, &Device::Cpu).unwrap();
        tensors.extend([full(0.3), full(1.7)]);
        let (norm, around) = of(&tensors);
        let norm = Norm { members, ..norm };
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
                    passes(shape, (is_fused, None), |t| {
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

    #[test]
    fn of_several_members_too() {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let conv = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
        for is_idle in [false, true] {
            // Of one member nothing counts, if it is idle.
            let of = |is_fused: bool| {
                run(Threads::members(3, &alone).unwrap(), |member| {
                    let members = Members::new(member.clone(), true);
                    let pass = || {
                        passes([2, 5, 4, 3], (is_fused, Some(&members)), |t| {
                            let [weight, bias] = [&t[2], &t[3]];
                            let norm = Norm { weight, bias, eps: 1e-5, given: None, members: None };
                            let (conv, residual) = (Some((&t[1], conv)), Some(&t[4]));
                            (norm, Around { conv, residual, relu: true, pool: None })
                        })
                    };
                    let is_idle = is_idle && member.rank() == 1;
                    let tensors = if is_idle { members.without_counting(pass) } else { pass() };
                    Ok::<_, candle_core::Error>(tensors)
                })
            };
            for (fused, composed) in of(true).into_iter().zip(of(false)) {
                let (fused, composed) = (fused.unwrap(), composed.unwrap());
                assert_eq!([fused.len(), composed.len()], [8, 8]);
                for (fused, composed) in fused.iter().zip(composed) {
                    let gap = (fused - composed).unwrap().abs().unwrap().max_all().unwrap();
                    assert!(gap.to_scalar::<f64>().unwrap() < 1e-12);
                }
            }
        }
    }
}
