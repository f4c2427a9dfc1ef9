//! Batch normalisation, a residual and a ReLU as one operation of candle's graph.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

use crate::cuda::launch::{Launch, wide};
use crate::cuda::plan::{self, Number};

const OP: &str = "norm";

/// relu(norm(x) + residual) of `x` (..., C) with the statistics of x, or those given; residual and ReLU only where
/// they are asked for. With the mean and the biased variance of each channel.
pub(crate) fn norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    residual: Option<&Tensor>,
    (eps, relu): (f64, bool),
    given: Option<[&Tensor; 2]>,
) -> Result<(Tensor, [Tensor; 2])> {
    let (channels, of) = (weight.elem_count(), wide(x.dtype()));
    let x = x.contiguous()?;
    let parameters = Tensor::stack(&[weight, bias], 0)?.to_dtype(of)?;
    let statistics = match given {
        Some(given) => Tensor::stack(&given, 0)?.to_dtype(of)?.detach(),
        None => moments(&x, channels)?,
    };
    let plan = plan::by_value("norm_affine", channels, &[Number::Real(eps)]);
    let affine = Launch::new(plan, (3, channels), of).of_two([&statistics, &parameters])?;
    let op = Norm { channels, eps, relu, given: given.is_some(), statistics, affine };
    let found = [op.statistics.get(0)?, op.statistics.get(1)?];
    let y = match residual {
        Some(residual) => x.apply_op3(&parameters, &residual.contiguous()?, op)?,
        None => x.apply_op2(&parameters, op)?,
    };
    Ok((y, found))
}

/// Mean and biased variance of each channel, (2, C).
fn moments(x: &Tensor, channels: usize) -> Result<Tensor> {
    let (shape, of) = ([x.elem_count() / channels, channels], wide(x.dtype()));
    let parts = (3, plan::parts(shape[0]), channels);
    let parts = Launch::new(plan::by_column("column_moments", shape), parts, of).of(x)?;
    Launch::new(plan::merged("merged_moments", shape, None), (2, channels), of).of(&parts)
}

struct Norm {
    channels: usize,
    eps: f64,
    relu: bool,
    /// Whether the statistics are not those of the values.
    given: bool,
    statistics: Tensor,
    affine: Tensor,
}

impl Norm {
    fn forward(
        &self,
        (x, layout): (&CudaStorage, &Layout),
        residual: Option<(&CudaStorage, &Layout)>,
    ) -> Result<(CudaStorage, Shape)> {
        let (affine, affine_layout) = self.affine.storage_and_layout();
        let Storage::Cuda(affine) = &*affine else { bail!("{OP}: it is for NVIDIA's devices") };
        let kernel = if residual.is_some() { "normalise_residual" } else { "normalise" };
        let count = layout.shape().elem_count();
        let others = [self.channels, usize::from(self.relu)].map(Number::Size);
        let launch = Launch::new(
            plan::by_value(kernel, count, &others),
            layout.shape().clone(),
            candle_core::backend::BackendStorage::dtype(x),
        );
        let mut inputs = vec![(x, layout), (affine, affine_layout)];
        inputs.extend(residual);
        launch.run(&inputs)
    }

    /// The gradients of x, of the parameters (2, C) and of the residual.
    fn backward(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let (channels, count) = (self.channels, x.elem_count());
        let (shape, of) = ([count / channels, channels], wide(x.dtype()));
        let grad = match self.relu {
            true => {
                let plan = plan::by_value("relu_gradient", count, &[]);
                Launch::new(plan, x.shape().clone(), x.dtype()).of_two([y, grad])?
            }
            false => grad.contiguous()?,
        };
        let parts = (2, plan::parts(shape[0]), channels);
        let parts = Launch::new(plan::by_column("column_sums", shape), parts, of).of_three([
            &grad,
            x,
            &self.statistics.get(0)?,
        ])?;
        let merged = plan::merged("merged_sums", shape, Some(2));
        let sums = Launch::new(merged, (2, channels), of).of(&parts)?;
        let others =
            [Number::Size(shape[0]), Number::Size(usize::from(self.given)), Number::Real(self.eps)];
        let plan = plan::by_value("norm_gradients", channels, &others);
        let all =
            Launch::new(plan, (6, channels), of).of_three([&self.statistics, parameters, &sums])?;
        let plan = plan::by_value("normalise_gradient", count, &[Number::Size(channels)]);
        let dx = Launch::new(plan, x.shape().clone(), x.dtype()).of_three([&grad, x, &all])?;
        Ok([dx, all.narrow(0, 4, 2)?, grad])
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: it is for NVIDIA's devices")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dparameters, _] = self.backward(x, parameters, y, grad)?;
        Ok((Some(dx), Some(dparameters)))
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: it is for NVIDIA's devices")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        _: &CudaStorage,
        _: &Layout,
        residual: &CudaStorage,
        residual_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward((x, layout), Some((residual, residual_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dparameters, grad] = self.backward(x, parameters, y, grad)?;
        Ok((Some(dx), Some(dparameters), Some(grad)))
    }
}
