//! A multilayer perceptron, the network inside critics.

use candle_core::Tensor;
use tcmax_ops::{Activation, Linear, ParamBuilder, perceptron};

use crate::error::{Error, Result};

/// Affine layers W x + b with an activation between them; PyTorch names `fc1.weight`, `fc1.bias`,
/// `fc2.weight`, ...
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// A network with layer widths `sizes`, from input to output, started as PyTorch starts linear
    /// layers: uniform in +-1 / sqrt(in).
    ///
    /// # Errors
    /// When there are fewer than two sizes, one is 0, or a parameter name is taken.
    pub fn new(sizes: &[usize], activation: Activation, builder: &ParamBuilder) -> Result<Self> {
        if sizes.len() < 2 || sizes.contains(&0) {
            return Err(Error::WrongShape {
                what: "layer sizes".to_owned(),
                got: sizes.to_vec(),
                wanted: "at least two sizes, all above 0".to_owned(),
            });
        }
        let mut layers = Vec::with_capacity(sizes.len() - 1);
        for (i, pair) in sizes.windows(2).enumerate() {
            layers.push(Linear::new(pair[0], pair[1], &builder.pp(format!("fc{}", i + 1)))?);
        }
        Ok(Self { layers, activation })
    }

    /// A network on given (weight (out, in), bias (out,)) pairs.
    ///
    /// # Errors
    /// When there is none, or one layer's output is not the next one's input.
    pub fn from_tensors(layers: Vec<(Tensor, Tensor)>, activation: Activation) -> Result<Self> {
        let mut width = None;
        for (i, (weight, bias)) in layers.iter().enumerate() {
            match (weight.dims(), bias.dims()) {
                (&[out, into], &[b]) if b == out && width.is_none_or(|width| width == into) => {
                    width = Some(out);
                }
                (got, _) => {
                    return Err(Error::WrongShape {
                        what: format!("weight of layer {}", i + 1),
                        got: got.to_vec(),
                        wanted: "[out, in] with a bias of [out] that fit the layer before".into(),
                    });
                }
            }
        }
        if layers.is_empty() {
            return Err(Error::Empty { what: "the network", unit: "layer" });
        }
        let layers = layers.into_iter().map(|(weight, bias)| Linear::from_tensors(weight, bias));
        Ok(Self { layers: layers.collect::<candle_core::Result<_>>()?, activation })
    }

    /// The width of the input.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, Linear::inputs)
    }

    /// The width of the output.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Linear::outputs)
    }

    /// Weights and biases, from input to output.
    pub fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(Linear::parameters).collect()
    }

    /// (N, in) to (N, out).
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(perceptron(x, &self.layers, self.activation)?)
    }
}
