//! The operation on a CPU: its passes, and what the forward one leaves for the other.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use super::parts::{Around, Norm, OP, Sizes};
use crate::cpu::conv2d::{self, Convolve};
use crate::cpu::element::Element;
use crate::cpu::normalise::{Incoming, Normaliser, Sums};
use crate::cpu::pool::{self, PooledGradient};
use crate::cpu::statistics::{Moments, Statistics};
use crate::cpu::storage::{dispatch, open, shaped, tensor_of, values};
use crate::geometry::{ConvShape, Window};
use crate::graph::hidden::Again;
use crate::graph::packed::PackedParameters;
use crate::ops::of_members::{added, merged};
use crate::training::members::Members;
use crate::wide::to_vec_f64;

/// The operation. Without a residual it takes x and the handle of the parameters, with one also the
/// residual.
pub(super) struct FusedNorm {
    /// Whether the input gets a gradient.
    of_input: bool,
    /// The convolution before the normalisation.
    conv: Option<ConvShape>,
    /// Weight and bias; after them the convolution's filters.
    pub(super) parameters: PackedParameters,
    relu: bool,
    /// A ReLU and the maximum of each window.
    pool: Option<Window>,
    eps: f64,
    /// Statistics to use instead of the batch's own.
    given: Option<Statistics>,
    /// The members whose values the statistics are of, and whether those here count.
    others: Option<(Members, bool)>,
    /// What the forward pass leaves for the backward pass and for the running statistics.
    pub(super) saved: Arc<OnceLock<Saved>>,
}

pub(super) struct Saved {
    pub(super) statistics: Statistics,
    /// The values of each channel that the statistics are of.
    pub(super) count: usize,
    /// The output of the convolution.
    convolved: Option<CpuStorage>,
    /// Weight and bias of the norm as they were, where nothing but a ReLU follows.
    affine: Option<[CpuStorage; 2]>,
    taps: Vec<u8>,
}

impl FusedNorm {
    pub(super) fn new(
        norm: Norm<'_>,
        around: Around<'_>,
        sizes: &Sizes,
        of_input: bool,
    ) -> Result<Self> {
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
            parameters: PackedParameters::new(&parameters)?,
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
                let affine = [parameters[0], parameters[1]];
                self.normalise(x, convolved, affine, residual)
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
        let is_rectified = self.relu && self.pool.is_none() && residual.is_none();
        let affine = is_rectified.then(|| [weight, bias].map(|values| T::storage(values.to_vec())));
        let convolved = convolved.map(T::storage);
        // Set once, because an operation is applied once.
        let _ = self.saved.set(Saved { statistics, count, convolved, affine, taps });
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

    /// Whether the backward pass reads the result.
    pub(super) fn reads_result(&self) -> bool {
        self.relu && self.saved.get().is_some_and(|saved| saved.affine.is_none())
    }

    /// How the result is made again from what is kept anyway: that of a convolution, after which a norm and a ReLU
    /// are all there is.
    pub(super) fn made_again(&self, shape: &Shape) -> Option<Again> {
        let saved = self.saved.get()?;
        if saved.affine.is_none() || saved.convolved.is_none() {
            return None;
        }
        let (saved, eps, shape) = (Arc::clone(&self.saved), self.eps, shape.clone());
        Some(Arc::new(move || match saved.get() {
            Some(Saved { statistics, convolved: Some(x), affine: Some(affine), .. }) => {
                let y = dispatch!(x, OP, |T| {
                    let [weight, bias] = affine.each_ref().map(T::slice);
                    let (weight, bias) = (weight?, bias?);
                    Normaliser { statistics, eps, weight, bias }.apply(T::slice(x)?, None, true)
                });
                shaped(y, shape.clone())
            }
            _ => bail!("{OP}: the forward pass left nothing to make its result of"),
        }))
    }

    /// The gradients of x, of the parameters' handle and of the residual; the result is only read if it has to be.
    pub(super) fn backward(
        &self,
        x: &Tensor,
        residual: Option<&Shape>,
        y: Option<&Tensor>,
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
        residual: Option<&Shape>,
        y: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let (input, grad) = (x.contiguous()?, grad.contiguous()?);
        let y = y.map(Tensor::contiguous).transpose()?;
        let [opened, grad] = [&input, &grad].map(|tensor| open(tensor, OP));
        let y = y.as_ref().map(|y| open(y, OP));
        let (x_values, grad) = (opened.values::<T>()?, grad.values::<T>()?);
        let y = y.as_ref().map(|y| y.values::<T>()).transpose()?;
        let Some(saved) = self.saved.get() else { bail!("{OP}: backward before forward") };
        let normalised = match &saved.convolved {
            Some(convolved) => T::slice(convolved)?,
            None => x_values,
        };
        self.parameters.read(OP, |values| {
            let (weight, bias) = (values[0], values[1]);
            let (eps, statistics) = (self.eps, &saved.statistics);
            let normaliser = Normaliser { statistics, eps, weight, bias };
            let rectified = match &saved.affine {
                Some([weight, bias]) => {
                    let (weight, bias) = (T::slice(weight)?, T::slice(bias)?);
                    Some(Normaliser { statistics, eps, weight, bias }.affine())
                }
                None => None,
            };
            let incoming = match (&self.pool, &rectified, y) {
                (Some(window), ..) => {
                    let (window, channels, taps) = (*window, weight.len(), &saved.taps[..]);
                    Incoming::Pooled(PooledGradient { window, channels, grad, taps })
                }
                (None, Some(affine), _) => Incoming::Rectified { grad, x: normalised, affine },
                (None, None, Some(output)) if self.relu => Incoming::Relu { grad, output },
                (None, None, None) if self.relu => bail!("{OP}: the result is missing"),
                (None, None, _) => Incoming::Plain(grad),
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
            let residual = residual.map(|(shape, grad)| shaped(T::storage(grad), shape));
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
        let [dx, handle, _] = self.backward(x, None, Some(y), grad)?;
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
        let [dx, handle, residual] = self.backward(x, Some(residual.shape()), Some(y), grad)?;
        Ok((dx, handle, residual))
    }
}
