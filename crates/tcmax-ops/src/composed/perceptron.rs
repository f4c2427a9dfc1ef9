//! Multilayer perceptrons.

use candle_core::{Result, Tensor};

use crate::activation::Activation;
use crate::composed::relu::relu;
use crate::ops::linear::Linear;

pub(crate) fn perceptron(x: &Tensor, layers: &[Linear], activation: Activation) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, layer) in layers.iter().enumerate() {
        let z = layer.forward(&x)?;
        x = if i + 1 < layers.len() { apply(activation, &z)? } else { z };
    }
    Ok(x)
}

fn apply(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Squareplus => (x + (x.sqr()? + Activation::BEND)?.sqrt()?)? * 0.5,
    }
}
