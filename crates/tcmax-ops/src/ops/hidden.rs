//! The operations of a transformer on hidden values.
//!
//! Where hidden values are plain tensors, on other devices than a CPU and in half precision, each is the operation on
//! tensors.

use candle_core::{CustomOp3, Result, Tensor};

use crate::activation::Gelu;
use crate::composed::dropout::{Chances, factors};
use crate::composed::relu::gate;
use crate::cpu::pairwise;
use crate::graph::hidden::{Argument, Hidden};
use crate::ops::dropout::dropout;
use crate::ops::gelu::{gelu, gelu_and_slope};
use crate::ops::layer_norm::{self, layer_norm};
use crate::ops::linear::{self, Linear};
use crate::ops::relu::relu;
use crate::precision::in_common;
use crate::training::seed::Seed;

impl Hidden {
    /// The sum with values of the same shape.
    ///
    /// # Errors
    /// When the shapes are not the same.
    pub fn add(&self, other: &Self) -> Result<Self> {
        if !self.is_apart() {
            let [a, b] = in_common(self.values(), other.values())?;
            return (a + b).map(Self::plain);
        }
        let sum = pairwise::sum(self.values(), other.values())?;
        let arguments = [Argument::Hidden(self), Argument::Hidden(other), Argument::Nothing];
        Self::result(&sum, arguments, |grad| Ok([Some(grad.clone()), Some(grad.clone()), None]))
    }

    /// A linear layer: (..., in) to (..., out).
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn linear(&self, layer: &Linear) -> Result<Self> {
        if !self.is_apart() {
            return layer.forward(self.values()).map(Self::plain);
        }
        let shape = self.values().shape().clone();
        let (outer, outputs) = (&shape.dims()[..shape.rank() - 1], layer.outputs());
        let rows = self.values().reshape((outer.iter().product::<usize>(), layer.inputs()))?;
        let [weight, bias] = layer.parameters();
        let op = linear::operation(&rows, &weight, 0..layer.inputs(), &bias, self.is_tracked())?;
        let op = Applied::new(op, [&rows, &weight, &bias])?;
        let arguments =
            [Argument::Hidden(self), Argument::Parameter(&weight), Argument::Parameter(&bias)];
        let y = op.values.reshape([outer, &[outputs]].concat())?;
        Self::result(&y, arguments, move |grad| {
            let grad = grad.reshape((grad.elem_count() / outputs, outputs))?;
            let [of_x, of_weight, of_bias] = op.backward(&grad)?;
            Ok([of_x.map(|of_x| of_x.reshape(&shape)).transpose()?, of_weight, of_bias])
        })
    }

    /// Layer normalisation over the last dimension, as [`layer_norm`].
    ///
    /// # Errors
    /// When weight or bias have another length or element type than the rows.
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Self> {
        if !self.is_apart() {
            return layer_norm(self.values(), weight, bias, eps).map(Self::plain);
        }
        let op = layer_norm::operation(self.values(), weight, bias, eps)?;
        let op = Applied::new(op, [self.values(), weight, bias])?;
        let arguments =
            [Argument::Hidden(self), Argument::Parameter(weight), Argument::Parameter(bias)];
        Self::result(&op.values.clone(), arguments, move |grad| op.backward(grad))
    }

    /// Gaussian error linear units, as [`gelu`].
    ///
    /// The slopes are kept for the gradient in the place of the values.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn gelu(&self, form: Gelu) -> Result<Self> {
        if !self.is_apart() {
            return gelu(self.values(), form).map(Self::plain);
        }
        if !self.is_tracked() {
            return Self::of(&gelu(self.values(), form)?);
        }
        let (y, slope) = gelu_and_slope(self.values(), form)?;
        Self::result(&y, self.alone(), move |grad| {
            Ok([Some(pairwise::product(grad, &slope)?), None, None])
        })
    }

    /// max(0, x), as [`relu`].
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn relu(&self) -> Result<Self> {
        let y = relu(self.values())?;
        if !self.is_apart() {
            return Ok(Self::plain(y));
        }
        let kept = y.clone();
        Self::result(&y, self.alone(), move |grad| Ok([Some(gate(&kept, grad)?), None, None]))
    }

    /// Dropout, as [`dropout`].
    ///
    /// # Errors
    /// When the rate is not in [0, 1).
    pub fn dropout(&self, rate: f64, seed: Seed) -> Result<Self> {
        if !self.is_apart() {
            return dropout(self.values(), rate, seed).map(Self::plain);
        }
        let Some(chances) = Chances::of(rate)? else { return Ok(self.clone()) };
        let factors = factors(self.values(), chances, seed)?;
        let y = pairwise::product(self.values(), &factors)?;
        Self::result(&y, self.alone(), move |grad| {
            Ok([Some(pairwise::product(grad, &factors)?), None, None])
        })
    }

    /// Columns `start..start + count` of the last dimension.
    ///
    /// # Errors
    /// When there are fewer columns.
    pub fn columns(&self, start: usize, count: usize) -> Result<Self> {
        let all = self.values();
        let part = all.narrow(all.rank() - 1, start, count)?;
        if !self.is_apart() {
            return Ok(Self::plain(part));
        }
        let after = all.dim(all.rank() - 1)? - start - count;
        Self::result(&part.contiguous()?, self.alone(), move |grad| {
            let last = grad.rank() - 1;
            let padded = grad.pad_with_zeros(last, start, after)?;
            Ok([Some(padded), None, None])
        })
    }

    pub(crate) fn alone(&self) -> [Argument<'_>; 3] {
        [Argument::Hidden(self), Argument::Nothing, Argument::Nothing]
    }
}

/// An operation of up to three tensors with what its backward pass reads.
pub(crate) struct Applied<C> {
    op: C,
    inputs: [Tensor; 3],
    pub(crate) values: Tensor,
}

impl<C: CustomOp3> Applied<C> {
    pub(crate) fn new(op: C, inputs: [&Tensor; 3]) -> Result<Self> {
        let [a, b, c] = inputs.map(Tensor::contiguous);
        let inputs = [a?, b?, c?];
        let values = inputs[0].apply_op3_no_bwd(&inputs[1], &inputs[2], &op)?;
        Ok(Self { op, inputs, values })
    }

    pub(crate) fn backward(&self, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let [a, b, c] = &self.inputs;
        // No operation here reads its result.
        let (of_a, of_b, of_c) = self.op.bwd(a, b, c, &self.values, grad)?;
        Ok([of_a, of_b, of_c])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::backward::backward;
    use crate::mask::AttentionMask;
    use crate::sequences::Sequences;
    use crate::training::gradcheck::gradient_error;
    use crate::training::init::Init;
    use crate::wide::to_vec_f64;
    use candle_core::{DType, Device, Shape, Var};

    const WIDTH: usize = 8;

    fn random(seed: u64, shape: &[usize]) -> Tensor {
        let unit = Init::Normal { mean: 0.0, std: 0.7 };
        unit.tensor(&Shape::from(shape), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
    }

    /// An input (N, D), a joint projection with its bias, a norm's weight and bias.
    fn inputs() -> [Tensor; 5] {
        [
            random(1, &[10, WIDTH]),
            random(2, &[3 * WIDTH, WIDTH]),
            random(3, &[3 * WIDTH]),
            random(4, &[WIDTH]),
            random(5, &[WIDTH]),
        ]
    }

    fn layer(t: &[Tensor]) -> Linear {
        Linear::from_tensors(t[1].clone(), t[2].clone()).unwrap()
    }

    /// Values that are used once, twice and three times, on hidden values.
    fn apart(t: &[Tensor]) -> Result<Tensor> {
        let x = Hidden::of(&t[0])?;
        let normal = x.layer_norm(&t[3], &t[4], 1e-5)?;
        let all = normal.linear(&layer(t))?;
        let [q, k, v] = [0, 1, 2].map(|part| all.columns(part * WIDTH, WIDTH));
        let attended = Hidden::attention([&q?, &k?, &v?], 2, &Sequences::equal(2, 5)?)?;
        let x = x.add(&attended.gelu(Gelu::Exact)?)?;
        x.add(&x.relu()?)?.dropout(0.25, Seed::new(6))?.tensor()
    }

    /// The same on tensors.
    fn plain(t: &[Tensor]) -> Result<Tensor> {
        let x = &t[0];
        let all = layer(t).forward(&layer_norm(x, &t[3], &t[4], 1e-5)?)?;
        let part = |part: usize| all.narrow(1, part * WIDTH, WIDTH)?.reshape((2, 5, WIDTH));
        let mask = AttentionMask::default();
        let attended = crate::attention(&part(0)?, &part(1)?, &part(2)?, 2, &mask)?;
        let x = (x + gelu(&attended.reshape((10, WIDTH))?, Gelu::Exact)?)?;
        dropout(&(&x + relu(&x)?)?, 0.25, Seed::new(6))
    }

    #[test]
    fn values_and_gradients_are_those_of_tensors() {
        for (dtype, limit) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let vars = inputs().map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
            let tensors = vars.each_ref().map(|var| var.as_tensor().clone());
            // Leaves that are no variables, as shares of a parameter are.
            let derived = tensors.each_ref().map(|t| (t * 1.5).unwrap());
            for given in [&tensors, &derived] {
                let run = |y: Tensor, ours: bool| {
                    let weights = random(7, y.dims()).to_dtype(dtype).unwrap();
                    let loss = (&y * weights).unwrap().sum_all().unwrap();
                    let grads = if ours { backward(&loss) } else { loss.backward() }.unwrap();
                    let gradients = tensors.each_ref().map(|t| grads.get(t).unwrap().clone());
                    std::iter::once(y).chain(gradients).collect::<Vec<_>>()
                };
                let wanted = run(plain(given).unwrap(), false);
                for ours in [false, true] {
                    for (a, b) in run(apart(given).unwrap(), ours).iter().zip(&wanted) {
                        let (a, b) = (to_vec_f64(a).unwrap(), to_vec_f64(b).unwrap());
                        assert_eq!(a.len(), b.len());
                        for (a, b) in a.iter().zip(&b) {
                            assert!((a - b).abs() < limit * b.abs().max(1.0), "{dtype:?}: {a} {b}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        // Slopes at 0 are taken from one side.
        let error = gradient_error(&inputs(), |t| apart(t)?.sin()?.sum_all().map_err(Into::into));
        assert!(error.unwrap() < 1e-7);
    }

    #[test]
    fn one_graph_has_the_gradients_of_several_losses() {
        let vars = inputs().map(|t| Var::from_tensor(&t).unwrap());
        let tensors = vars.each_ref().map(|var| var.as_tensor().clone());
        let y = apart(&tensors).unwrap();
        let gradients = |loss: Tensor| {
            let grads = loss.sum_all().unwrap().backward().unwrap();
            to_vec_f64(grads.get(&tensors[1]).unwrap()).unwrap()
        };
        let [first, second] = [gradients(y.clone()), gradients((&y * 2.0).unwrap())];
        assert!(first.iter().any(|value| *value != 0.0));
        for (first, second) in first.iter().zip(second) {
            assert!((2.0 * first - second).abs() < 1e-12);
        }
        assert_eq!(gradients(y), first);
    }

    #[test]
    fn what_is_not_trained_has_no_graph_and_what_is_does_not_need_the_rest() {
        let tensors = inputs();
        assert!(!apart(&tensors).unwrap().track_op());
        let mut with_bias = tensors.clone();
        let bias = Var::from_tensor(&tensors[2]).unwrap();
        with_bias[2] = bias.as_tensor().clone();
        let grads = backward(&apart(&with_bias).unwrap().sum_all().unwrap()).unwrap();
        assert_eq!(grads.get_ids().count(), 1);
        let gradient = to_vec_f64(grads.get(bias.as_tensor()).unwrap()).unwrap();
        assert!(gradient.iter().any(|value| *value != 0.0));
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let tensors = inputs();
        let x = Hidden::of(&tensors[0]).unwrap();
        let narrow = x.columns(0, 3).unwrap();
        assert!(narrow.linear(&layer(&tensors)).is_err());
        assert!(x.add(&narrow).is_err());
        assert!(narrow.layer_norm(&tensors[3], &tensors[4], 1e-5).is_err());
        let sequences = Sequences::equal(2, 5).unwrap();
        assert!(Hidden::attention([&x, &x, &narrow], 2, &sequences).is_err());

        assert!(x.dropout(1.0, Seed::new(0)).is_err());
        assert!(x.columns(6, 3).is_err());
        assert!(Hidden::of(&tensors[0].to_dtype(DType::U8).unwrap()).is_err());
    }
}
