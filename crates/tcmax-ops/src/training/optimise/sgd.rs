//! Stochastic gradient descent with momentum and weight decay.
//!
//! ```text
//! d <- g + decay p;   v <- momentum v + (1 - dampening) d  (v starts as the first d)
//! p <- p - rate v,    with Nesterov's momentum p - rate (d + momentum v)
//! ```
//!
//! as PyTorch's `torch.optim.SGD`. candle 0.11's SGD has neither momentum nor decay. A parameter
//! without a gradient is left alone: no decay, no momentum.
//!
//! Source of Nesterov's momentum in this form: Sutskever, Martens, Dahl and Hinton 2013, "On the importance
//! of initialization and momentum in deep learning".

use candle_core::{Result as CandleResult, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::cpu::element::Element;
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::plan::{self, Number, Part, Update};
use crate::training::optimise::kernel::Kernel;
use crate::training::optimise::optimiser::Optimiser;
use crate::training::optimise::rule::{Pace, Rule, require_decay, require_rates};
use crate::training::optimise::spec::OptimiserSpec;

/// The specification of [`Sgd`].
pub static SGD: OptimiserSpec = OptimiserSpec {
    name: "sgd",
    description: "stochastic gradient descent with momentum",
    source: "Robbins and Monro 1951; Sutskever et al., ICML 2013",
    options: Options::of::<SgdOptions>(),
    make: |options, params| Ok(Box::new(Sgd::new(params, read::<SgdOptions>(options)?)?)),
};

/// Options of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SgdOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the old direction that stays at each step, at least 0 and below 1.
    pub momentum: f64,
    /// Share of the gradient that is left out of the momentum after the first step.
    pub dampening: f64,
    /// Whether the step looks ahead along the momentum (Nesterov).
    pub nesterov: bool,
    /// Weight decay, added to the gradient before the momentum.
    pub weight_decay: f64,
    /// Whether parameters of one dimension, biases and scales, decay too.
    pub decay_vectors: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self {
            learning_rate: 0.05,
            momentum: 0.9,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 1e-4,
            decay_vectors: true,
        }
    }
}

impl OptionSet for SgdOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require_rates(self.learning_rate, self.weight_decay)?;
        require_decay("momentum", self.momentum)?;
        require(self.dampening.is_finite(), "dampening", "must be a number")?;
        let plain = !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0);
        require(plain, "nesterov", "needs a momentum above 0 and no dampening")
    }
}

impl Rule for SgdOptions {
    type Kernel = SgdStep;

    fn kernel(&self, pace: Pace) -> SgdStep {
        // The first direction is taken whole, and without momentum there is nothing to dampen.
        let whole = pace.steps == 1 || self.momentum == 0.0;
        SgdStep {
            rate: pace.learning_rate,
            decay: pace.weight_decay,
            kept: self.momentum,
            new: if whole { 1.0 } else { 1.0 - self.dampening },
            nesterov: self.nesterov,
        }
    }

    fn running(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn vectors_decay(&self) -> bool {
        self.decay_vectors
    }

    fn momentum(&self) -> f64 {
        self.momentum
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.momentum = momentum;
    }
}

/// One step of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    rate: f64,
    decay: f64,
    kept: f64,
    new: f64,
    nesterov: bool,
}

impl Kernel for SgdStep {
    #[inline(always)]
    fn update<T: Element>(&self, value: &mut [T], gradient: &[T], running: &mut [&mut [T]]) {
        let [momentum] = running else { unreachable!("the rule has named one running value") };
        let (decay, new) = (T::from_f64(self.decay), T::from_f64(self.new));
        let (kept, rate) = (T::from_f64(self.kept), T::from_f64(self.rate));
        for ((value, gradient), momentum) in value.iter_mut().zip(gradient).zip(momentum.iter_mut())
        {
            let direction = *gradient + decay * *value;
            *momentum = kept * *momentum + new * direction;
            let along = if self.nesterov { direction + kept * *momentum } else { *momentum };
            *value -= rate * along;
        }
    }

    fn composed(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        running: &[Tensor],
    ) -> CandleResult<(Tensor, Vec<Tensor>)> {
        let direction = (gradient + (value * self.decay)?)?;
        let momentum = ((&running[0] * self.kept)? + (&direction * self.new)?)?;
        let along = match self.nesterov {
            true => (direction + (&momentum * self.kept)?)?,
            false => momentum.clone(),
        };
        Ok(((value - (along * self.rate)?)?, vec![momentum]))
    }

    #[cfg(any(test, feature = "cuda"))]
    fn updates(&self, count: usize, _: usize) -> Vec<Update> {
        let by_value = |kernel, numbers: &[Number]| plan::by_value(kernel, count, numbers);
        let Self { rate, decay, kept, new, nesterov } = *self;
        let nesterov = Number::Size(usize::from(nesterov));
        let [rate, decay, kept, new] = [rate, decay, kept, new].map(Number::Real);
        vec![
            Update {
                plan: by_value("sgd_momentum", &[kept, new, decay]),
                tensors: [Part::Running(0), Part::Gradient, Part::Value],
            },
            Update {
                plan: by_value("sgd_value", &[rate, kept, decay, nesterov]),
                tensors: [Part::Value, Part::Gradient, Part::Running(0)],
            },
        ]
    }
}

/// SGD on one [`Params`](crate::Params).
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{Init, ParamBuilder, Seed, Sgd, SgdOptions};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let options = SgdOptions { learning_rate: 0.1, weight_decay: 0.0, ..SgdOptions::default() };
/// let mut sgd = Sgd::new(&builder.params(), options)?;
/// for _ in 0..2 {
///     sgd.step(&(&p * 2.0)?.sum_all()?.backward()?)?;
/// }
/// // 1 - 0.1 * 2 - 0.1 * (0.9 * 2 + 2)
/// assert!((p.to_vec1::<f64>()?[0] - 0.42).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
pub type Sgd = Optimiser<SgdOptions>;

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

    fn options(learning_rate: f64, momentum: f64, weight_decay: f64) -> SgdOptions {
        SgdOptions { learning_rate, momentum, weight_decay, ..SgdOptions::default() }
    }

    #[test]
    fn a_gradient_of_another_shape_is_refused_by_name_before_anything_is_updated() {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let [p, q] = ["p", "q"].map(|name| builder.param(name, 2, Init::Const(1.0)).unwrap());
        let mut sgd = Sgd::new(&builder.params(), SgdOptions::default()).unwrap();
        let mut gradients = (&p * &q).unwrap().sum_all().unwrap().backward().unwrap();
        gradients.insert(&q, Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap());
        let error = sgd.step(&gradients).unwrap_err();
        assert!(matches!(&error, crate::Error::WrongShape { name, .. } if name == "q"), "{error}");
        assert_eq!(p.to_vec1::<f64>().unwrap(), [1.0, 1.0]);
    }

    #[test]
    fn decay_is_coupled_and_spares_what_has_no_gradient() {
        let (params, a, b) = two();
        let mut sgd = Sgd::new(&params, options(0.1, 0.0, 0.5)).unwrap();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap();
        sgd.step(&loss.backward().unwrap()).unwrap();
        assert_eq!(a.to_vec1::<f64>().unwrap(), [1.0 - 0.1 * 3.5; 2]);
        assert_eq!(b.to_vec1::<f64>().unwrap(), [1.0]);
    }

    #[test]
    fn saved_momentum_goes_on_where_it_was() {
        let run = |reload: bool| {
            let (params, a, b) = two();
            let mut sgd = Sgd::new(&params, options(0.1, 0.9, 0.0)).unwrap();
            for step in 0..3 {
                let loss = (a.sqr().unwrap().sum_all().unwrap() + b.sum_all().unwrap()).unwrap();
                sgd.step(&loss.backward().unwrap()).unwrap();
                if reload && step == 1 {
                    let state = sgd.state().unwrap();
                    sgd = Sgd::new(&params, options(0.1, 0.9, 0.0)).unwrap();
                    sgd.load_state(&state).unwrap();
                }
            }
            a.to_vec1::<f64>().unwrap()
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn nesterov_without_momentum_or_with_dampening_is_refused() {
        let (params, ..) = two();
        let nesterov = SgdOptions { nesterov: true, ..SgdOptions::default() };
        for wrong in [
            SgdOptions { momentum: 0.0, ..nesterov },
            SgdOptions { dampening: 0.1, ..nesterov },
            SgdOptions { momentum: 1.0, ..SgdOptions::default() },
            SgdOptions { learning_rate: f64::NAN, ..SgdOptions::default() },
            SgdOptions { weight_decay: -1.0, ..SgdOptions::default() },
        ] {
            assert!(Sgd::new(&params, wrong).is_err(), "{wrong:?}");
        }
        let mut sgd = Sgd::new(&params, nesterov).unwrap();
        assert!(sgd.set_momentum(0.0).is_err());
        assert_eq!(sgd.momentum(), 0.9);
        sgd.set_momentum(0.5).unwrap();
        assert_eq!(sgd.momentum(), 0.5);
    }
}
