//! Adam with decoupled weight decay.
//!
//! ```text
//! m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
//! p <- p - rate decay p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! t counts the steps of the parameter.
//!
//! Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; conventions of
//! PyTorch's `torch.optim.AdamW`. candle-nn has one too; this one takes `Params`, can be saved, and updates
//! each parameter in one pass over memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{Options, read};

use crate::training::optimise::moments::{Moments, adam_rule};
use crate::training::optimise::optimiser::Optimiser;
use crate::training::optimise::rule::{Pace, Rule};
use crate::training::optimise::spec::OptimiserSpec;

/// The specification of [`AdamW`].
pub static ADAMW: OptimiserSpec = OptimiserSpec {
    name: "adamw",
    description: "Adam with weight decay apart from the gradient",
    source: "Loshchilov and Hutter, ICLR 2019",
    options: Options::of::<AdamWOptions>(),
    make: |options, params| Ok(Box::new(AdamW::new(params, read::<AdamWOptions>(options)?)?)),
};

/// Options of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdamWOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, at least 0 and below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, at least 0 and below 1.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Weight decay, apart from the gradient.
    pub weight_decay: f64,
    /// Whether parameters of one dimension, biases and scales, decay too.
    pub decay_vectors: bool,
    /// Whether the largest mean of squares so far takes the place of the latest (AMSGrad).
    pub amsgrad: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 1e-2,
            decay_vectors: true,
            amsgrad: false,
        }
    }
}

adam_rule!(AdamWOptions, coupled_decay: |_| None, kept: |rate, decay| 1.0 - rate * decay);

/// AdamW on one [`Params`](crate::Params).
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{AdamW, AdamWOptions, Init, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let options = AdamWOptions { weight_decay: 0.0, ..AdamWOptions::default() };
/// let mut adam = AdamW::new(&builder.params(), options)?;
/// adam.step(&(&p * 5.0)?.sum_all()?.backward()?)?;
/// // The first step is one learning rate, whatever the size of the gradient.
/// assert!((p.to_vec1::<f64>()?[0] - 0.999).abs() < 1e-10);
/// # Ok(())
/// # }
/// ```
pub type AdamW = Optimiser<AdamWOptions>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::params::ParamBuilder;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    const CONFIG: AdamWOptions = AdamWOptions {
        learning_rate: 0.1,
        beta1: 0.8,
        beta2: 0.9,
        eps: 1e-8,
        weight_decay: 0.05,
        decay_vectors: true,
        amsgrad: false,
    };

    #[test]
    fn steps_are_their_definition() {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let p = builder.param("p", 1, Init::Const(2.0)).unwrap();
        let mut adam = AdamW::new(&builder.params(), CONFIG).unwrap();
        let (mut value, mut mean, mut square) = (2.0f64, 0.0f64, 0.0f64);
        for step in 1..=4 {
            adam.step(&p.sqr().unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
            let gradient = 2.0 * value;
            mean = 0.8 * mean + 0.2 * gradient;
            square = 0.9 * square + 0.1 * gradient * gradient;
            let unbiased = (mean / (1.0 - 0.8f64.powi(step)), square / (1.0 - 0.9f64.powi(step)));
            value -= 0.1 * (0.05 * value + unbiased.0 / (unbiased.1.sqrt() + 1e-8));
            assert!((p.to_vec1::<f64>().unwrap()[0] - value).abs() < 1e-13);
        }
    }

    #[test]
    fn saved_means_go_on_where_they_were() {
        let run = |reload: bool| {
            let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
            let unit = Init::Normal { mean: 0.0, std: 1.0 };
            let p = builder.filters("p", [2, 3, 1, 2], unit).unwrap();
            let params = builder.params();
            let mut adam = AdamW::new(&params, CONFIG).unwrap();
            for step in 0..4 {
                adam.step(&p.sqr().unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
                if reload && step == 1 {
                    let state = adam.state().unwrap();
                    assert_eq!(state["square.p"].dims(), [2, 3, 1, 2]);
                    adam = AdamW::new(&params, CONFIG).unwrap();
                    adam.load_state(&state).unwrap();
                }
            }
            p.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn decays_outside_their_range_are_refused() {
        let params = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu).params();
        for beta1 in [-0.1, 1.0, f64::NAN] {
            let message = AdamW::new(&params, AdamWOptions { beta1, ..CONFIG }).unwrap_err();
            assert!(message.to_string().starts_with("beta1: got"), "{message}");
        }
    }
}
