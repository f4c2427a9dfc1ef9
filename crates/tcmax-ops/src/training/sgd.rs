//! Stochastic gradient descent with momentum and weight decay.
//!
//! ```text
//! d <- g + decay p;   v <- momentum v + d  (v starts as the first d);   p <- p - rate v
//! ```
//!
//! as PyTorch's `torch.optim.SGD`. candle 0.11's SGD has neither momentum nor decay. A parameter
//! without a gradient is left alone: no decay, no momentum.

use candle_core::{Result as CandleResult, Tensor};

use crate::cpu::element::Element;
use crate::error::Result;
use crate::training::optimiser::{Optimiser, Rule, check_decay};

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum, in [0, 1).
    pub momentum: f64,
    /// Weight decay, added to the gradient before the momentum.
    pub weight_decay: f64,
}

impl Rule<1> for SgdConfig {
    const STATE: [&'static str; 1] = ["momentum"];

    fn check(&self) -> Result<()> {
        check_decay("momentum", self.momentum)
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    #[inline(always)]
    fn update<T: Element>(
        &self,
        _: u64,
        value: &mut [T],
        gradient: &[T],
        [momentum]: [&mut [T]; 1],
    ) {
        let decay = T::from_f64(self.weight_decay);
        let (kept, rate) = (T::from_f64(self.momentum), T::from_f64(self.learning_rate));
        for ((value, gradient), momentum) in value.iter_mut().zip(gradient).zip(momentum) {
            let direction = *gradient + decay * *value;
            *momentum = kept * *momentum + direction;
            *value -= rate * *momentum;
        }
    }

    fn composed(
        &self,
        _: u64,
        value: &Tensor,
        gradient: &Tensor,
        [momentum]: &[Tensor; 1],
    ) -> CandleResult<(Tensor, [Tensor; 1])> {
        let direction = (gradient + (value * self.weight_decay)?)?;
        let momentum = ((momentum * self.momentum)? + direction)?;
        let value = (value - (&momentum * self.learning_rate)?)?;
        Ok((value, [momentum]))
    }
}

/// SGD on one [`Params`](crate::Params).
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{Init, ParamBuilder, Seed, Sgd, SgdConfig};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
/// let mut sgd = Sgd::new(&builder.params(), config)?;
/// for _ in 0..2 {
///     sgd.step(&(&p * 2.0)?.sum_all()?.backward()?)?;
/// }
/// // 1 - 0.1 * 2 - 0.1 * (0.9 * 2 + 2)
/// assert!((p.to_vec1::<f64>()?[0] - 0.42).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
pub type Sgd = Optimiser<SgdConfig, 1>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::params::{ParamBuilder, Params};
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    fn two() -> (Params, Tensor, Tensor) {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let a = builder.param("a", 2, Init::Const(1.0)).unwrap();
        let b = builder.param("b", 1, Init::Const(1.0)).unwrap();
        (builder.params(), a, b)
    }

    #[test]
    fn decay_is_coupled_and_spares_what_has_no_gradient() {
        let (params, a, b) = two();
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.0, weight_decay: 0.5 };
        let mut sgd = Sgd::new(&params, config).unwrap();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap();
        sgd.step(&loss.backward().unwrap()).unwrap();
        assert_eq!(a.to_vec1::<f64>().unwrap(), [1.0 - 0.1 * 3.5; 2]);
        assert_eq!(b.to_vec1::<f64>().unwrap(), [1.0]);
    }

    #[test]
    fn saved_momentum_goes_on_where_it_was() {
        let config = SgdConfig { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        let run = |reload: bool| {
            let (params, a, b) = two();
            let mut sgd = Sgd::new(&params, config).unwrap();
            for step in 0..3 {
                let loss = (a.sqr().unwrap().sum_all().unwrap() + b.sum_all().unwrap()).unwrap();
                sgd.step(&loss.backward().unwrap()).unwrap();
                if reload && step == 1 {
                    let state = sgd.state().unwrap();
                    sgd = Sgd::new(&params, config).unwrap();
                    sgd.load_state(&state).unwrap();
                }
            }
            a.to_vec1::<f64>().unwrap()
        };
        assert_eq!(run(false), run(true));
    }
}
