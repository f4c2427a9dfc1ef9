//! Operations of candle's graph by kernels, for tensors of NVIDIA's devices.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor,
    bail,
};

use crate::activation::Gelu;
use crate::composed::dropout::Chances;
use crate::cuda::launch::{Launch, wide};
use crate::cuda::plan::{self, Number};
use crate::geometry::Window;
use crate::training::seed::Seed;

/// The softmax of rows.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let shape = rows(x)?;
    let launch = move |kernel, like: &Tensor| {
        Launch::new(plan::by_row(kernel, shape, None), like.shape().clone(), like.dtype())
    };
    let op = Unary {
        forward: launch("softmax", x),
        gradient: move |[_, y, grad]: [&Tensor; 3]| launch("softmax_gradient", y).of_two([y, grad]),
    };
    x.contiguous()?.apply_op1(op)
}

/// log sum exp over dimension `dim`.
pub(crate) fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let dims = x.dims();
    let of = |dims: &[usize]| dims.iter().product::<usize>();
    let shape = [of(&dims[..dim]), dims[dim], of(&dims[dim + 1..])];
    let result = [&dims[..dim], &dims[dim + 1..]].concat();
    let op = Unary {
        forward: Launch::new(plan::log_sum_exp(shape), result, x.dtype()),
        gradient: move |[x, y, grad]: [&Tensor; 3]| {
            let plan = plan::log_sum_exp_gradient(shape);
            Launch::new(plan, x.shape().clone(), x.dtype()).of_three([x, y, grad])
        },
    };
    x.contiguous()?.apply_op1(op)
}

/// Gaussian error linear units.
pub(crate) fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    let count = x.elem_count();
    let launch = move |kernel, x: &Tensor| {
        Launch::new(plan::gelu(kernel, count, form), x.shape().clone(), x.dtype())
    };
    let op = Unary {
        forward: launch("gelu", x),
        gradient: move |[x, _, grad]: [&Tensor; 3]| launch("gelu_gradient", x).of_two([x, grad]),
    };
    x.contiguous()?.apply_op1(op)
}

/// max(0, x), and NaN where x is NaN.
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    let launch = |kernel, like: &Tensor| {
        let plan = plan::by_value(kernel, like.elem_count(), &[]);
        Launch::new(plan, like.shape().clone(), like.dtype())
    };
    let op = Unary {
        forward: launch("relu", x),
        gradient: move |[_, y, grad]: [&Tensor; 3]| launch("relu_gradient", y).of_two([y, grad]),
    };
    x.contiguous()?.apply_op1(op)
}

/// Dropout that draws what a CPU draws; the gradient draws it again.
pub(crate) fn dropout(x: &Tensor, chances: Chances, seed: Seed) -> Result<Tensor> {
    let launch = move |like: &Tensor| {
        let plan = plan::dropout(like.elem_count(), chances, seed);
        Launch::new(plan, like.shape().clone(), like.dtype())
    };
    let op = Unary {
        forward: launch(x),
        gradient: move |[_, _, grad]: [&Tensor; 3]| launch(grad).of(grad),
    };
    x.contiguous()?.apply_op1(op)
}

/// `x` (..., C) + bias (C,).
pub(crate) fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&bias.contiguous()?, AddBias)
}

/// The maximum over windows of `x` (B, H, W, C).
pub(crate) fn max_pool2d(x: &Tensor, window: &Window) -> Result<Tensor> {
    let (batch, _, _, channels) = x.dims4()?;
    let (window, result) = (*window, (batch, window.out.0, window.out.1, channels));
    let count = batch * window.positions() * channels;
    let op = Unary {
        forward: Launch::new(
            plan::windows("max_pool", count, &window, channels),
            result,
            x.dtype(),
        ),
        gradient: move |[x, _, grad]: [&Tensor; 3]| {
            let plan = plan::windows("max_pool_gradient", x.elem_count(), &window, channels);
            Launch::new(plan, x.shape().clone(), x.dtype()).of_two([x, grad])
        },
    };
    x.contiguous()?.apply_op1(op)
}

/// Layer norm of rows; weight and bias are computed with in the type of `x`.
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let [weight, bias] = [weight, bias].map(|t| t.to_dtype(x.dtype())?.contiguous());
    let op = LayerNorm { shape: rows(x)?, eps };
    x.contiguous()?.apply_op3(&weight?, &bias?, op)
}

/// The number of rows and their length.
fn rows(x: &Tensor) -> Result<[usize; 2]> {
    let n = x.dim(D::Minus1)?;
    Ok([x.elem_count() / n.max(1), n])
}

/// A kernel of one tensor, with its gradient from the argument, the result and the result's gradient.
struct Unary<G> {
    forward: Launch,
    gradient: G,
}

impl<G: Fn([&Tensor; 3]) -> Result<Tensor>> CustomOp1 for Unary<G> {
    fn name(&self) -> &'static str {
        CustomOp1::name(&self.forward)
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        CustomOp1::cpu_fwd(&self.forward, x, layout)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward.run(&[(x, layout)])
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        (self.gradient)([x, y, grad]).map(Some)
    }
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("add-bias: it is for NVIDIA's devices")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let columns = Number::Size(bias_layout.shape().elem_count());
        let plan = plan::by_value("add_bias", layout.shape().elem_count(), &[columns]);
        let of = candle_core::backend::BackendStorage::dtype(x);
        Launch::new(plan, layout.shape().clone(), of).run(&[(x, layout), (bias, bias_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let sum = sum_of_rows(&grad.contiguous()?, rows(x)?)?;
        Ok((Some(grad.clone()), Some(sum.reshape(bias.shape())?)))
    }
}

/// The sum of the rows of `x`, like one of them.
fn sum_of_rows(x: &Tensor, [rows, n]: [usize; 2]) -> Result<Tensor> {
    let of = wide(x.dtype());
    let parts = (plan::parts(rows), n);
    let parts = Launch::new(plan::by_column("column_sum", [rows, n]), parts, of).of(x)?;
    let merged = plan::merged("merged_sums", [rows, n], Some(1));
    Launch::new(merged, n, of).of(&parts)?.to_dtype(x.dtype())
}

struct LayerNorm {
    /// Rows, and their length.
    shape: [usize; 2],
    eps: f64,
}

impl LayerNorm {
    fn launch(&self, kernel: &'static str, like: &Tensor) -> Launch {
        let plan = plan::by_row(kernel, self.shape, Some(self.eps));
        Launch::new(plan, like.shape().clone(), like.dtype())
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
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
        bail!("layer-norm: it is for NVIDIA's devices")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let of = candle_core::backend::BackendStorage::dtype(x);
        let plan = plan::by_row("layer_norm", self.shape, Some(self.eps));
        Launch::new(plan, layout.shape().clone(), of).run(&[
            (x, layout),
            (weight, weight_layout),
            (bias, bias_layout),
        ])
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dx = self.launch("layer_norm_gradient", x).of_three([x, weight, grad])?;
        let along = self.launch("layer_norm_weighted", x).of_two([x, grad])?;
        Ok((
            Some(dx),
            Some(sum_of_rows(&along, self.shape)?),
            Some(sum_of_rows(&grad.contiguous()?, self.shape)?),
        ))
    }
}
