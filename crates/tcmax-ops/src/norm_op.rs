//! Convolution, batch normalisation, residual, ReLU and maximum as one operation of candle's graph.
//!
//! What one operation does, candle's graph need not hold: the gradient between convolution and
//! normalisation is neither stored with zeros added to it nor copied, and of a stem the large
//! normalised activation is never written.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape as Dims, Tensor, bail};

use crate::conv2d;
use crate::cpu::{Element, dispatch, storage_of, tensor_of, values};
use crate::kernels::Shape;
use crate::normalise::{Incoming, Normaliser};
use crate::parcel::Parcel;
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

/// A normalisation with what is around it. With one tensor more than x it is an operation of x and
/// the parcel of parameters, with two of x, the parcel and the residual.
pub(crate) struct Norm {
    /// The convolution before it.
    pub(crate) conv: Option<Shape>,
    /// Weight and bias; after them the convolution's weight.
    pub(crate) parameters: Parcel,
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

/// Calls `body` with the values of a contiguous CPU tensor.
fn with_values<T: Element, R>(tensor: &Tensor, body: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (guard, layout) = tensor.storage_and_layout();
    body(values::<T>(storage_of(&guard, OP)?, layout, OP)?)
}

impl Norm {
    /// Calls `body` with weight, bias and the convolution's filters, if there are any.
    fn with_parameters<T: Element, R>(
        &self,
        body: impl FnOnce(&[T], &[T], &[T]) -> Result<R>,
    ) -> Result<R> {
        let (scale, bias, filters) = match self.parameters.contents() {
            [scale, bias] => (scale, bias, None),
            [scale, bias, filters] => (scale, bias, Some(filters)),
            other => bail!("{OP}: {} parameters", other.len()),
        };
        with_values(scale, |scale| {
            with_values(bias, |bias| match filters {
                Some(filters) => with_values(filters, |filters| body(scale, bias, filters)),
                None => body(scale, bias, &[]),
            })
        })
    }

    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        residual: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Dims)> {
        let storage = dispatch!(x, OP, |T| {
            let x = values::<T>(x, x_layout, OP)?;
            let residual = residual.map(|r| values::<T>(r.0, r.1, OP)).transpose()?;
            self.with_parameters::<T, _>(|weight, bias, filters| {
                let convolved = self.conv.map(|shape| conv2d::forward(&shape, x, filters));
                Ok(self.normalise(x, convolved, [weight, bias], residual))
            })?
        });
        let mut dims = match &self.conv {
            Some(shape) => vec![shape.batch, shape.window.out.0, shape.window.out.1, shape.to],
            None => x_layout.dims().to_vec(),
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
        [weight, bias]: [&[T]; 2],
        residual: Option<&[T]>,
    ) -> Vec<T> {
        let values = convolved.as_deref().unwrap_or(x);
        let statistics = match &self.given {
            Some(given) => given.clone(),
            None => Statistics::of(values, weight.len()),
        };
        let normaliser = Normaliser { statistics: &statistics, eps: self.eps, weight, bias };
        let mut taps = Vec::new();
        let y = match &self.then {
            Then::Nothing => normaliser.apply(values, residual, false),
            Then::Relu => normaliser.apply(values, residual, true),
            Then::ReluPool(window) => {
                let affine = normaliser.affine();
                let pooled = pool::max(values, window, weight.len(), Some(&affine));
                taps = pooled.taps;
                pooled.values
            }
        };
        let convolved = convolved.map(T::storage);
        // Set once: an op is applied once.
        let _ = self.saved.set(Saved { statistics, convolved, taps });
        y
    }

    /// Gradients of x and the residual; those of the parameters go into the parcel, whose token's
    /// gradient comes between the two.
    fn backward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let grad = grad.contiguous()?;
        let (guard, layout) = grad.storage_and_layout();
        let storage = storage_of(&guard, OP)?;
        match storage {
            CpuStorage::F32(_) => self.through::<f32>(x, residual, y, storage, layout),
            _ => self.through::<f64>(x, residual, y, storage, layout),
        }
    }

    fn through<T: Element>(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        y: &Tensor,
        grad: &CpuStorage,
        layout: &Layout,
    ) -> Result<[Option<Tensor>; 3]> {
        let grad = values::<T>(grad, layout, OP)?;
        with_values(x, |x_values: &[T]| {
            with_values(y, |y: &[T]| self.gradients(x, residual, x_values, y, grad))
        })
    }

    fn gradients<T: Element>(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        x_values: &[T],
        y: &[T],
        grad: &[T],
    ) -> Result<[Option<Tensor>; 3]> {
        let Some(saved) = self.saved.get() else { bail!("{OP}: backward before forward") };
        let own = match &saved.convolved {
            Some(convolved) => T::slice(convolved)?,
            None => x_values,
        };
        self.with_parameters::<T, _>(|weight, bias, filters| {
            let (eps, statistics) = (self.eps, &saved.statistics);
            let normaliser = Normaliser { statistics, eps, weight, bias };
            let incoming = match &self.then {
                Then::Nothing => Incoming::Plain(grad),
                Then::Relu => Incoming::Relu { grad, output: y },
                Then::ReluPool(window) => {
                    let (window, channels, taps) = (*window, weight.len(), &saved.taps[..]);
                    Incoming::Pooled(PooledGradient { window, channels, grad, taps })
                }
            };
            // After the ReLU the residual's gradient is the normalisation's too.
            let masked = residual.map(|_| normaliser.residual_grad(own.len(), &incoming));
            let incoming = masked.as_deref().map_or(incoming, Incoming::Plain);
            let sums = normaliser.sums(own, &incoming);
            let parameters = self.parameters.contents();
            let vector = |sums: &[f64], like: &Tensor| {
                let values = sums.iter().map(|sum| T::from_f64(*sum)).collect();
                tensor_of(T::storage(values), like).map(Some)
            };
            let mut parcel =
                vec![vector(&sums.weight, &parameters[0])?, vector(&sums.bias, &parameters[1])?];
            let own_grad = || normaliser.input_grad(own, &incoming, &sums, self.given.is_none());
            let mut dx = None;
            if let Some(shape) = &self.conv {
                let grad = own_grad();
                if x.track_op() {
                    dx = Some(conv2d::input_grad(shape, filters, &grad));
                }
                let dw = conv2d::weight_grad(shape, x_values, &grad);
                parcel.push(Some(tensor_of(T::storage(dw), &parameters[2])?));
            } else if x.track_op() {
                dx = Some(own_grad());
            }
            let residual = residual.zip(masked);
            let residual = residual.map(|(like, grad)| tensor_of(T::storage(grad), like));
            let dx = dx.map(|dx| tensor_of(T::storage(dx), x));
            Ok([dx.transpose()?, self.parameters.deliver(parcel)?, residual.transpose()?])
        })
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Dims)> {
        self.forward((x, x_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, token, _] = self.backward(x, None, y, grad)?;
        Ok((dx, token))
    }
}

impl CustomOp3 for Norm {
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
    ) -> Result<(CpuStorage, Dims)> {
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
        let [dx, token, residual] = self.backward(x, Some(residual), y, grad)?;
        Ok((dx, token, residual))
    }
}
