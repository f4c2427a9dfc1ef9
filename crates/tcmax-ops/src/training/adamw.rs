//! Adam with decoupled weight decay.
//!
//! ```text
//! m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
//! p <- p - rate decay p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; conventions of
//! PyTorch's `torch.optim.AdamW`. t counts the steps of the optimiser. candle-nn has one too; this
//! one takes `Params`, can be saved, and updates each parameter in one pass over memory.

use candle_core::{Result as CandleResult, Tensor};

use crate::cpu::element::Element;
use crate::error::Result;
use crate::training::optimiser::{Optimiser, Rule, check_decay};

/// Settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of gradients, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of squared gradients, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub eps: f64,
    /// Weight decay, separate from the gradient.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2 }
    }
}

impl AdamWConfig {
    /// What the means are divided by after so many steps, since they started at 0.
    fn corrections(&self, step: u64) -> [f64; 2] {
        [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(step as f64))
    }
}

impl Rule<2> for AdamWConfig {
    const STATE: [&'static str; 2] = ["mean", "square"];

    fn check(&self) -> Result<()> {
        check_decay("beta1", self.beta1)?;
        check_decay("beta2", self.beta2)
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    #[inline(always)]
    fn update<T: Element>(
        &self,
        step: u64,
        value: &mut [T],
        gradient: &[T],
        [mean, square]: [&mut [T]; 2],
    ) {
        let [first, second] = self.corrections(step);
        let (old1, new1) = (T::from_f64(self.beta1), T::from_f64(1.0 - self.beta1));
        let (old2, new2) = (T::from_f64(self.beta2), T::from_f64(1.0 - self.beta2));
        let (unbiased, eps) = (T::from_f64(1.0 / second), T::from_f64(self.eps));
        let kept = T::from_f64(1.0 - self.learning_rate * self.weight_decay);
        let rate = T::from_f64(self.learning_rate / first);
        let values = value.iter_mut().zip(gradient);
        for ((value, gradient), (mean, square)) in values.zip(mean.iter_mut().zip(square)) {
            *mean = old1 * *mean + new1 * *gradient;
            *square = old2 * *square + new2 * *gradient * *gradient;
            let root = (*square * unbiased).root() + eps;
            *value = *value * kept - rate * *mean / root;
        }
    }

    fn composed(
        &self,
        step: u64,
        value: &Tensor,
        gradient: &Tensor,
        [mean, square]: &[Tensor; 2],
    ) -> CandleResult<(Tensor, [Tensor; 2])> {
        let [first, second] = self.corrections(step);
        let mean = ((mean * self.beta1)? + (gradient * (1.0 - self.beta1))?)?;
        let square = ((square * self.beta2)? + (gradient.sqr()? * (1.0 - self.beta2))?)?;
        let root = ((&square / second)?.sqrt()? + self.eps)?;
        let kept = (value * (1.0 - self.learning_rate * self.weight_decay))?;
        let value = (kept - ((&mean / root)? * (self.learning_rate / first))?)?;
        Ok((value, [mean, square]))
    }
}

/// AdamW on one [`Params`](crate::Params).
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{AdamW, AdamWConfig, Init, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
/// let mut adam = AdamW::new(&builder.params(), config)?;
/// adam.step(&(&p * 5.0)?.sum_all()?.backward()?)?;
/// // The first step is one learning rate, whatever the size of the gradient.
/// assert!((p.to_vec1::<f64>()?[0] - 0.999).abs() < 1e-10);
/// # Ok(())
/// # }
/// ```
pub type AdamW = Optimiser<AdamWConfig, 2>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::params::ParamBuilder;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    const CONFIG: AdamWConfig =
        AdamWConfig { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, eps: 1e-8, weight_decay: 0.05 };

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
            let message = AdamW::new(&params, AdamWConfig { beta1, ..CONFIG }).unwrap_err();
            assert!(message.to_string().starts_with("beta1: got"), "{message}");
        }
    }
}
