//! Multilayer perceptrons.

use candle_core::{Result, Tensor};

use crate::activation::Activation;
use crate::composed::linear::linear;
use crate::composed::relu::relu;

/// `layers` are pairs of weight and bias.
pub(crate) fn perceptron(
    x: &Tensor,
    layers: &[[&Tensor; 2]],
    activation: Activation,
) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, [weight, bias]) in layers.iter().enumerate() {
        let z = linear(&x, weight, bias)?;
        x = if i + 1 < layers.len() { apply(activation, &z)? } else { z };
    }
    Ok(x)
}

/// The function between layers.
pub(crate) fn apply(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Squareplus => (x + (x.sqr()? + Activation::BEND)?.sqrt()?)? * 0.5,
    }
}
