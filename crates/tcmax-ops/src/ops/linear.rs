//! A linear layer: y = x W^T + b.

use candle_core::{Result, Tensor, bail};

use crate::composed::linear::linear;
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
        let &[ref outer @ .., inputs] = x.dims() else { bail!("linear: a number has no features") };
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
