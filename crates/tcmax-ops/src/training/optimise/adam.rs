//! Adam, with weight decay in the gradient.
//!
//! ```text
//! g <- g + decay p
//! m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
//! p <- p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! t counts the steps of the parameter.
//!
//! Source: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization"; conventions of PyTorch's
//! `torch.optim.Adam`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{Options, read};

use crate::training::optimise::moments::{Moments, adam_rule};
use crate::training::optimise::optimiser::Optimiser;
use crate::training::optimise::rule::{Pace, Rule};
use crate::training::optimise::spec::OptimiserSpec;

/// The specification of [`Adam`].
pub static ADAM: OptimiserSpec = OptimiserSpec {
    name: "adam",
    description: "steps scaled by running means, weight decay in the gradient",
    source: "Kingma and Ba, ICLR 2015",
    options: Options::of::<AdamOptions>(),
    make: |options, params| Ok(Box::new(Adam::new(params, read::<AdamOptions>(options)?)?)),
};

/// Options of [`Adam`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdamOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, at least 0 and below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, at least 0 and below 1.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Whether parameters of one dimension, biases and scales, decay too.
    pub decay_vectors: bool,
    /// Whether the largest mean of squares so far takes the place of the latest (AMSGrad).
    pub amsgrad: bool,
}

impl Default for AdamOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decay_vectors: true,
            amsgrad: false,
        }
    }
}

adam_rule!(AdamOptions, coupled_decay: |decay: f64| (decay != 0.0).then_some(decay), kept: |_, _| 1.0);

/// Adam on one [`Params`](crate::Params).
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{Adam, AdamOptions, Init, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let options = AdamOptions { weight_decay: 5.0, ..AdamOptions::default() };
/// let mut adam = Adam::new(&builder.params(), options)?;
/// // The decay outweighs a gradient of -4, and the first step is one learning rate.
/// adam.step(&(&p * -4.0)?.sum_all()?.backward()?)?;
/// assert!((p.to_vec1::<f64>()?[0] - 0.999).abs() < 1e-10);
/// # Ok(())
/// # }
/// ```
pub type Adam = Optimiser<AdamOptions>;
