//! Convolution, batch normalisation, residual, ReLU and maximum as one operation of candle's graph.
//!
//! What one operation does, candle's graph need not hold: the gradient between convolution and
//! normalisation is neither stored with zeros added to it nor copied, and of a stem the large
//! normalised activation is never written.

use std::sync::{Arc, OnceLock};

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape as Dims, Tensor, WithDType, bail,
};

use crate::backward::hand_over;
use crate::conv2d;
use crate::cpu::{Element, dispatch, storage_of, values};
use crate::kernels::Shape;
use crate::max_pool2d::tensor_of;
use crate::normalise::{Incoming, Normaliser};
use crate::pool::{self, PooledGradient};
use crate::statistics::Statistics;
use crate::window::Window;

const OP: &str = "batch_norm";

/// What follows the normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Nothing,
    Relu,
    /// A ReLU and the maximum of each window.
    ReluPool(Window),
}

/// A normalisation with what is around it.
#[derive(Clone)]
pub(crate) struct Norm {
    /// The convolution before it.
    pub(crate) conv: Option<Shape>,
    pub(crate) then: Then,
    pub(crate) eps: f64,
    /// Statistics to use instead of the batch's own.
    pub(crate) given: Option<Statistics>,
    /// What the forward pass leaves for the backward pass and for the running statistics.
    pub(crate) saved: Arc<OnceLock<Saved>>,
}

pub(crate) struct Saved {
    pub(crate) statistics: Statistics,
    /// The output of the convolution.
    convolved: Option<CpuStorage>,
    taps: Vec<u8>,
}

/// x and the arguments after it, as the graph hands them over.
type Argument<'a> = (&'a CpuStorage, &'a Layout);

impl Norm {
    fn forward(
        &self,
        x: Argument<'_>,
        weight: Option<Argument<'_>>,
        affine: Argument<'_>,
        residual: Option<Argument<'_>>,
    ) -> Result<(CpuStorage, Dims)> {
        let storage = dispatch!(x.0, OP, |T| {
            let x = values::<T>(x.0, x.1, OP)?;
            let affine = values::<T>(affine.0, affine.1, OP)?;
            let residual = residual.map(|r| values::<T>(r.0, r.1, OP)).transpose()?;
            let convolved = match (&self.conv, weight) {
                (Some(shape), Some(weight)) => {
                    Some(conv2d::forward(shape, x, values::<T>(weight.0, weight.1, OP)?))
                }
                _ => None,
            };
            self.normalise(x, convolved, affine, residual)
        });
        let mut dims = match &self.conv {
            Some(shape) => {
                vec![shape.batch, shape.window.out.0, shape.window.out.1, shape.to]
            }
            None => x.1.dims().to_vec(),
        };
        if let Then::ReluPool(window) = &self.then {
            (dims[1], dims[2]) = window.out;
        }
        Ok((storage, Dims::from(dims)))
    }

    fn normalise<T: Element>(
        &self,
        x: &[T],
        convolved: Option<Vec<T>>,
        affine: &[T],
        residual: Option<&[T]>,
    ) -> Vec<T> {
        let values = convolved.as_deref().unwrap_or(x);
        let (weight, bias) = affine.split_at(affine.len() / 2);
        let channels = weight.len();
        let statistics = match &self.given {
            Some(given) => given.clone(),
            None => Statistics::of(values, channels),
        };
        let normaliser = Normaliser { statistics: &statistics, eps: self.eps, weight, bias };
        let mut taps = Vec::new();
        let y = match &self.then {
            Then::Nothing => normaliser.apply(values, residual, false),
            Then::Relu => normaliser.apply(values, residual, true),
            Then::ReluPool(window) => {
                let affine = normaliser.affine();
                let map = |channel, value| affine.of(channel, value);
                let pooled = pool::max(values, window, channels, true, map);
                taps = pooled.taps;
                pooled.values
            }
        };
        let convolved = convolved.map(T::storage);
        // Set once: an op is applied once.
        let _ = self.saved.set(Saved { statistics, convolved, taps });
        y
    }

    /// Gradients of x (before the convolution), the convolution's weight, weight and bias as one
    /// (2, C), and the residual.
    fn backward(&self, arguments: &Arguments<'_>, y: &Tensor, grad: &Tensor) -> Result<Gradients> {
        let Some(saved) = self.saved.get() else { bail!("{OP}: backward before forward") };
        let Arguments { x, weight, affine, residual } = *arguments;
        let grad = grad.contiguous()?;
        let (x, y) = (x.contiguous()?, y.contiguous()?);
        let (x_guard, x_layout) = x.storage_and_layout();
        let (y_guard, y_layout) = y.storage_and_layout();
        let (grad_guard, grad_layout) = grad.storage_and_layout();
        let (affine_guard, affine_layout) = affine.storage_and_layout();
        let (x_storage, y_storage) = (storage_of(&x_guard, OP)?, storage_of(&y_guard, OP)?);
        let (grad_storage, affine_storage) =
            (storage_of(&grad_guard, OP)?, storage_of(&affine_guard, OP)?);
        let mut gradients = Gradients::default();
        let _: CpuStorage = dispatch!(x_storage, OP, |T| {
            let x_values = values::<T>(x_storage, x_layout, OP)?;
            let own = match &saved.convolved {
                Some(convolved) => T::slice(convolved)?,
                None => x_values,
            };
            let affine_values = values::<T>(affine_storage, affine_layout, OP)?;
            let (scale, bias) = affine_values.split_at(affine_values.len() / 2);
            let (eps, statistics) = (self.eps, &saved.statistics);
            let normaliser = Normaliser { statistics, eps, weight: scale, bias };
            let grad = values::<T>(grad_storage, grad_layout, OP)?;
            let incoming = match &self.then {
                Then::Nothing => Incoming::Plain(grad),
                Then::Relu => {
                    Incoming::Relu { grad, output: values::<T>(y_storage, y_layout, OP)? }
                }
                Then::ReluPool(window) => Incoming::Pooled(PooledGradient {
                    window: *window,
                    channels: scale.len(),
                    grad,
                    taps: &saved.taps,
                }),
            };
            let sums = normaliser.sums(own, &incoming);
            let both = sums.weight.iter().chain(&sums.bias).map(|sum| T::from_f64(*sum));
            gradients.affine = Some(tensor_of(T::storage(both.collect()), affine)?);
            if let Some(residual) = residual {
                let values = normaliser.residual_grad(own.len(), &incoming);
                gradients.residual = Some(tensor_of(T::storage(values), residual)?);
            }
            let inner = x.track_op() || weight.is_some();
            let dx =
                inner.then(|| normaliser.input_grad(own, &incoming, &sums, self.given.is_none()));
            match (&self.conv, weight, dx) {
                (Some(shape), Some(weight), Some(grad)) => {
                    let contiguous = weight.contiguous()?;
                    let (guard, layout) = contiguous.storage_and_layout();
                    let filters = values::<T>(storage_of(&guard, OP)?, layout, OP)?;
                    if x.track_op() {
                        let dx = conv2d::input_grad(shape, filters, &grad);
                        gradients.x = Some(tensor_of(T::storage(dx), &x)?);
                    }
                    if weight.track_op() {
                        let dw = conv2d::weight_grad(shape, x_values, &grad);
                        let dw = tensor_of(T::storage(dw), weight)?;
                        gradients.weight = hand_over(weight, dw);
                    }
                }
                (None, _, Some(dx)) => gradients.x = Some(tensor_of(T::storage(dx), &x)?),
                _ => {}
            }
            Vec::new()
        });
        Ok(gradients)
    }
}

struct Arguments<'a> {
    x: &'a Tensor,
    weight: Option<&'a Tensor>,
    affine: &'a Tensor,
    residual: Option<&'a Tensor>,
}

#[derive(Default)]
struct Gradients {
    x: Option<Tensor>,
    weight: Option<Tensor>,
    affine: Option<Tensor>,
    residual: Option<Tensor>,
}

/// A normalisation of x by (2, C) weight and bias.
pub(crate) struct Plain(pub(crate) Norm);

impl CustomOp2 for Plain {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Dims)> {
        self.0.forward((x, x_layout), None, (affine, affine_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let arguments = Arguments { x, weight: None, affine, residual: None };
        let gradients = self.0.backward(&arguments, y, grad)?;
        Ok((gradients.x, gradients.affine))
    }
}

/// A normalisation of x by (2, C) weight and bias, with a residual added.
pub(crate) struct WithResidual(pub(crate) Norm);

impl CustomOp3 for WithResidual {
    fn name(&self) -> &'static str {
        "batch_norm-residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Dims)> {
        let residual = Some((residual, residual_layout));
        self.0.forward((x, x_layout), None, (affine, affine_layout), residual)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        residual: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let arguments = Arguments { x, weight: None, affine, residual: Some(residual) };
        let gradients = self.0.backward(&arguments, y, grad)?;
        Ok((gradients.x, gradients.affine, gradients.residual))
    }
}

/// A convolution of x with a weight, then a normalisation by (2, C) weight and bias.
pub(crate) struct WithConv(pub(crate) Norm);

impl CustomOp3 for WithConv {
    fn name(&self) -> &'static str {
        "conv2d-batch_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Dims)> {
        let weight = Some((weight, weight_layout));
        self.0.forward((x, x_layout), weight, (affine, affine_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        affine: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let arguments = Arguments { x, weight: Some(weight), affine, residual: None };
        let gradients = self.0.backward(&arguments, y, grad)?;
        Ok((gradients.x, gradients.weight, gradients.affine))
    }
}
