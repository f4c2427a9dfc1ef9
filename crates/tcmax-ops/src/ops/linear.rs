//! A linear layer: y = x W^T + b.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::composed;
use crate::cpu::linear::{Sizes, bias_gradient, forward, input_gradient, weight_gradient};
use crate::cpu::storage::{check_dtype, dispatch, open, shaped, tensor_of, values};
use crate::device;
use crate::graph::backward::{hand_over, hand_over_columns};
use crate::precision::product;
use crate::training::init::Init;
use crate::training::params::ParamBuilder;

/// A linear layer with weight (out, in) and bias (out,), as PyTorch's `nn.Linear`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::Linear;
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let layer = Linear::from_tensors(weight, Tensor::new(&[0.5f32], &Device::Cpu)?)?;
/// let x = Tensor::new(&[[10f32, 3.0]], &Device::Cpu)?;
/// assert_eq!(layer.forward(&x)?.to_vec2::<f32>()?, [[16.5]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A new layer from `inputs` to `outputs` features, started as PyTorch starts it: uniform within
    /// 1 / sqrt(inputs). Its parameters are called `weight` and `bias`.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(
        inputs: usize,
        outputs: usize,
        builder: &ParamBuilder,
    ) -> crate::error::Result<Self> {
        let start = Init::Uniform { bound: 1.0 / (inputs as f64).sqrt() };
        let weight = builder.param("weight", (outputs, inputs), start)?;
        Ok(Self { weight, bias: builder.param("bias", outputs, start)? })
    }

    /// A layer on given tensors.
    ///
    /// # Errors
    /// When the weight is not (out, in) or the bias not (out,).
    pub fn from_tensors(weight: Tensor, bias: Tensor) -> Result<Self> {
        match (weight.dims(), bias.dims()) {
            (&[outputs, _], &[entries]) if outputs == entries => Ok(Self { weight, bias }),
            (weight, bias) => {
                bail!("linear: weight {weight:?} and bias {bias:?} are not [out, in] and [out]")
            }
        }
    }

    /// (..., in) to (..., out).
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let &[ref outer @ .., inputs] = x.dims() else { bail!("{OP}: a number has no features") };
        if outer.len() == 1 {
            return linear(x, &self.weight, &self.bias);
        }
        let shape: Vec<usize> = outer.iter().copied().chain([self.outputs()]).collect();
        let rows = x.reshape((outer.iter().product::<usize>(), inputs))?;
        linear(&rows, &self.weight, &self.bias)?.reshape(shape)
    }

    /// The weight, (out, in).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, (out,).
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// Features that go in.
    pub fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Features that come out.
    pub fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Weight and bias.
    pub fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }
}

const OP: &str = "linear";

/// x W^T + b of `x` (N, in), weight (out, in) and bias (out,): (N, out).
///
/// One operation of candle's graph, whose three gradients are one product or sum each.
///
/// # Errors
/// When shapes or element types do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (_, inputs) = weight.dims2()?;
    linear_columns(x, weight, 0..inputs, bias)
}

/// As [`linear`] with these columns of the weight: the term of one modality in a layer on the features of all, one
/// after the other.
///
/// The weight lies where it is, and [`backward`](crate::backward) joins the gradients of columns, so that a layer in
/// parts costs as much as a whole one.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::linear_columns;
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Tensor::new(&[[1f32, 2.0, 3.0]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0.5f32], &Device::Cpu)?;
/// let x = Tensor::new(&[[10f32, 1.0]], &Device::Cpu)?;
/// assert_eq!(linear_columns(&x, &weight, 1..3, &bias)?.to_vec2::<f32>()?, [[23.5]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When shapes, columns or element types do not fit.
pub fn linear_columns(
    x: &Tensor,
    weight: &Tensor,
    columns: Range<usize>,
    bias: &Tensor,
) -> Result<Tensor> {
    product([x, weight, bias], |[x, weight, bias]| of_one_type(x, weight, columns, bias))
}

fn of_one_type(
    x: &Tensor,
    weight: &Tensor,
    columns: Range<usize>,
    bias: &Tensor,
) -> Result<Tensor> {
    let op = operation(x, weight, columns.clone(), bias, x.track_op())?;
    if !x.device().is_cpu() || x.elem_count() == 0 {
        let weight = weight.narrow(1, columns.start, columns.len())?;
        return match x.device().is_cpu() {
            true => composed::linear::linear(x, &weight, bias),
            false => device::linear(x, &weight, bias),
        };
    }
    check_dtype(x, OP)?;
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// The operation on x (N, in), columns of a weight and bias, whose shapes and types it checks; `of_input` is whether x
/// gets a gradient.
pub(crate) fn operation(
    x: &Tensor,
    weight: &Tensor,
    columns: Range<usize>,
    bias: &Tensor,
    of_input: bool,
) -> Result<Product> {
    let (_, inputs) = x.dims2()?;
    let (outputs, all) = weight.dims2()?;
    let types = [weight.dtype(), bias.dtype()] == [x.dtype(); 2];
    let fits = columns.len() == inputs && columns.end <= all && bias.dims() == [outputs];
    if !fits || !types || inputs * outputs == 0 {
        let shapes = [x, weight, bias].map(Tensor::shape);
        bail!(
            "{OP}: x {:?}, weight {:?}, bias {:?}, columns {columns:?}",
            shapes[0],
            shapes[1],
            shapes[2]
        );
    }
    Ok(Product { columns, of_input })
}

pub(crate) struct Product {
    columns: Range<usize>,
    of_input: bool,
}

impl Product {
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Sizes> {
        let ((rows, _), (outputs, stride)) = (x.dims2()?, weight.dims2()?);
        Ok(Sizes { rows, outputs, stride, columns: self.columns.clone() })
    }
}

impl CustomOp3 for Product {
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
    ) -> Result<(CpuStorage, Shape)> {
        let of = self.sizes(x_layout.shape(), weight_layout.shape())?;
        let y = dispatch!(x, OP, |T| {
            let weight = values::<T>(weight, weight_layout, OP)?;
            let bias = values::<T>(bias, bias_layout, OP)?;
            forward(&of, values::<T>(x, x_layout, OP)?, weight, bias)
        });
        Ok((y, Shape::from((of.rows, of.outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let of = self.sizes(x.shape(), weight.shape())?;
        let (x, w, grad) = (x.contiguous()?, weight.contiguous()?, grad.contiguous()?);
        let [opened, w, g] = [&x, &w, &grad].map(|tensor| open(tensor, OP));
        let of_x = || -> Result<Tensor> {
            let values = dispatch!(opened.storage()?, OP, |T| {
                input_gradient::<T>(&of, g.values()?, w.values()?)
            });
            tensor_of(values, &x)
        };
        let of_weight = || -> Result<Tensor> {
            let values = dispatch!(opened.storage()?, OP, |T| {
                weight_gradient::<T>(&of, g.values()?, opened.values()?)
            });
            shaped(values, (of.outputs, of.columns.len()))
        };
        let of_bias = || -> Result<Tensor> {
            let values =
                dispatch!(opened.storage()?, OP, |T| { bias_gradient::<T>(&of, g.values()?) });
            tensor_of(values, bias)
        };
        let dx = self.of_input.then(of_x).transpose()?;
        let dw = weight.track_op().then(of_weight).transpose()?;
        let db = bias.track_op().then(of_bias).transpose()?;
        let dw = dw.map(|gradient| hand_over_columns(weight, of.columns.start, gradient));
        Ok((dx, dw.transpose()?.flatten(), db.and_then(|gradient| hand_over(bias, gradient))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::backward::backward;
    use crate::ops::sum_of::sum_of;
    use crate::training::gradcheck::gradient_error;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device, Var};

    fn random(seed: u64, shape: &[usize]) -> Tensor {
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
    }

    fn inputs([rows, from, to]: [usize; 3]) -> [Tensor; 3] {
        [random(1, &[rows, from]), random(2, &[to, from]), random(3, &[to])]
    }

    #[test]
    fn kernel_and_composition_agree_in_value_and_gradient() {
        for sizes in [[1, 1, 1], [3, 5, 2], [130, 300, 70], [65, 33, 129]] {
            for (dtype, limit) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
                let vars =
                    inputs(sizes).map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
                let [x, w, b] = vars.each_ref().map(Var::as_tensor);
                let run = |y: Tensor| {
                    let weights = random(4, y.dims()).to_dtype(dtype).unwrap();
                    let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
                    let gradients = [x, w, b].map(|t| grads.get(t).unwrap().clone());
                    std::iter::once(y).chain(gradients).collect::<Vec<_>>()
                };
                let ours = run(linear(x, w, b).unwrap());
                let theirs = run(composed::linear::linear(x, w, b).unwrap());
                for (a, b) in ours.iter().zip(&theirs) {
                    let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
                    assert!(crate::wide::to_scalar_f64(&gap).unwrap() < limit, "{sizes:?}");
                }
            }
        }
    }

    /// Terms of columns that cover the weight, of the same columns twice, and of columns that leave some out.
    #[test]
    fn columns_agree_with_a_copy_of_them_in_value_and_gradient() {
        for (dtype, limit) in [(DType::F64, 1e-11), (DType::F32, 1e-4)] {
            for parts in
                [vec![0..3, 3..10], vec![0..3, 3..10, 0..3], vec![1..4, 6..10], vec![0..4, 2..10]]
            {
                let weight = random(2, &[5, 10]).to_dtype(dtype).unwrap();
                let bias = random(3, &[5]).to_dtype(dtype).unwrap();
                let [weight, bias] = [weight, bias].map(|t| Var::from_tensor(&t).unwrap());
                let x: Vec<Tensor> = parts
                    .iter()
                    .map(|part| random(1, &[4, part.len()]).to_dtype(dtype).unwrap())
                    .collect();
                let loss = |term: &dyn Fn(&Tensor, &Range<usize>) -> Result<Tensor>| {
                    let terms =
                        x.iter().zip(&parts).map(|(x, part)| term(x, part)?.sqr()?.sum_all());
                    sum_of(&terms.collect::<Result<Vec<_>>>().unwrap()).unwrap()
                };
                let ours = loss(&|x, part| linear_columns(x, &weight, part.clone(), &bias));
                let theirs = loss(&|x, part| {
                    let weight = weight.narrow(1, part.start, part.len())?;
                    composed::linear::linear(x, &weight, &bias)
                });
                let wanted = theirs.backward().unwrap();
                for got in [ours.backward().unwrap(), backward(&ours).unwrap()] {
                    for var in [&weight, &bias] {
                        let (got, wanted) = (got.get(var).unwrap(), wanted.get(var).unwrap());
                        let gap = (got - wanted).unwrap().abs().unwrap().max_all().unwrap();
                        assert!(crate::wide::to_scalar_f64(&gap).unwrap() < limit, "{parts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_examples_have_no_logits() {
        let [_, weight, bias] = inputs([1, 6, 3]);
        let none = Tensor::zeros((0, 6), DType::F64, &Device::Cpu).unwrap();
        assert_eq!(linear(&none, &weight, &bias).unwrap().dims(), [0, 3]);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let error = gradient_error(&inputs([4, 6, 3]), |t| {
            Ok(linear(&t[0], &t[1], &t[2])?.sin()?.sum_all()?)
        });
        assert!(error.unwrap() < 1e-8);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let [x, w, b] = inputs([4, 6, 3]);
        assert!(linear(&x, &b.unsqueeze(0).unwrap(), &b).is_err());
        assert!(linear(&x, &w, &random(1, &[4])).is_err());
        assert!(linear_columns(&x, &w, 0..5, &b).is_err());
        assert!(linear_columns(&x, &w, 1..7, &b).is_err());
        assert!(linear(&x.to_dtype(DType::F32).unwrap(), &w, &b).is_err());
    }
}
