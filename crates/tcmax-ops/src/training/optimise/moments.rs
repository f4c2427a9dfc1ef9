//! What Adam and AdamW share: running means of the gradient and of its square.
//!
//! ```text
//! m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
//! p <- p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! with t the steps of the parameter. AMSGrad (Reddi, Kale and Kumar 2018, "On the Convergence of Adam and
//! Beyond") takes, instead of v, the largest v so far, of each value.

use candle_core::{Result as CandleResult, Tensor};
use tcmax_registry::require;

use crate::cpu::element::Element;
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::plan::{self, Number, Part, Update};
use crate::training::optimise::kernel::Kernel;
use crate::training::optimise::rule::require_decay;

/// Names of the running values; the last is AMSGrad's.
pub(super) const RUNNING: [&str; 3] = ["mean", "square", "largest"];

/// Names of the running values, with or without AMSGrad.
pub(super) fn running(amsgrad: bool) -> &'static [&'static str] {
    if amsgrad { &RUNNING } else { &RUNNING[..2] }
}

/// One step of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Decay of the mean of gradients.
    pub(super) beta1: f64,
    /// Decay of the mean of squared gradients.
    pub(super) beta2: f64,
    /// Added to the root of the mean of squares.
    pub(super) eps: f64,
    /// Steps of the parameter, this one included.
    pub(super) steps: u64,
    pub(super) learning_rate: f64,
    /// What is added to the gradient for each value; `None`: the gradient is as it is.
    pub(super) coupled_decay: Option<f64>,
    /// What the value is multiplied by first.
    pub(super) kept: f64,
}

impl Moments {
    /// What the means are divided by after so many steps, since they started at 0.
    fn corrections(&self) -> [f64; 2] {
        [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(self.steps as f64))
    }

    #[inline(always)]
    fn coefficients<T: Element>(&self) -> Coefficients<T> {
        let [first, second] = self.corrections();
        Coefficients {
            old1: T::from_f64(self.beta1),
            new1: T::from_f64(1.0 - self.beta1),
            old2: T::from_f64(self.beta2),
            new2: T::from_f64(1.0 - self.beta2),
            unbiased: T::from_f64(1.0 / second),
            eps: T::from_f64(self.eps),
            is_coupled: self.coupled_decay.is_some(),
            decay: T::from_f64(self.coupled_decay.unwrap_or(0.0)),
            kept: T::from_f64(self.kept),
            rate: T::from_f64(self.learning_rate / first),
        }
    }
}

/// The numbers of [`Moments`] in the element type.
struct Coefficients<T> {
    old1: T,
    new1: T,
    old2: T,
    new2: T,
    unbiased: T,
    eps: T,
    is_coupled: bool,
    decay: T,
    kept: T,
    rate: T,
}

impl<T: Element> Coefficients<T> {
    /// Updates the means with a gradient.
    #[inline(always)]
    fn update_means(&self, value: T, gradient: T, mean: &mut T, square: &mut T) {
        // Not 0 times the value, which is NaN for an infinite one.
        let gradient = if self.is_coupled { gradient + self.decay * value } else { gradient };
        *mean = self.old1 * *mean + self.new1 * gradient;
        *square = self.old2 * *square + self.new2 * gradient * gradient;
    }

    /// The value after the step.
    #[inline(always)]
    fn moved(&self, value: T, mean: T, square: T) -> T {
        let root = (square * self.unbiased).root() + self.eps;
        value * self.kept - self.rate * mean / root
    }
}

impl Kernel for Moments {
    #[inline(always)]
    fn update<T: Element>(&self, value: &mut [T], gradient: &[T], running: &mut [&mut [T]]) {
        let by = self.coefficients::<T>();
        let values = value.iter_mut().zip(gradient);
        match running {
            [mean, square] => {
                let means = mean.iter_mut().zip(square.iter_mut());
                for ((value, gradient), (mean, square)) in values.zip(means) {
                    by.update_means(*value, *gradient, mean, square);
                    *value = by.moved(*value, *mean, *square);
                }
            }
            [mean, square, largest] => {
                let means = mean.iter_mut().zip(square.iter_mut()).zip(largest.iter_mut());
                for ((value, gradient), ((mean, square), largest)) in values.zip(means) {
                    by.update_means(*value, *gradient, mean, square);
                    // NaN is not below anything, so that it is taken.
                    *largest = if *square < *largest { *largest } else { *square };
                    *value = by.moved(*value, *mean, *largest);
                }
            }
            _ => unreachable!("the rule has named two or three running values"),
        }
    }

    fn composed(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        running: &[Tensor],
    ) -> CandleResult<(Tensor, Vec<Tensor>)> {
        let [first, second] = self.corrections();
        let gradient = match self.coupled_decay {
            Some(decay) => (gradient + (value * decay)?)?,
            None => gradient.clone(),
        };
        let mean = ((&running[0] * self.beta1)? + (&gradient * (1.0 - self.beta1))?)?;
        let square = ((&running[1] * self.beta2)? + (gradient.sqr()? * (1.0 - self.beta2))?)?;
        let mut after = vec![mean, square];
        if let Some(largest) = running.get(2) {
            after.push(largest.maximum(&after[1])?);
        }
        let square = &after[after.len() - 1];
        let root = ((square / second)?.sqrt()? + self.eps)?;
        let step = ((&after[0] / root)? * (self.learning_rate / first))?;
        Ok((((value * self.kept)? - step)?, after))
    }

    #[cfg(any(test, feature = "cuda"))]
    fn updates(&self, count: usize, running: usize) -> Vec<Update> {
        // AMSGrad has no kernel.
        if running != 2 {
            return Vec::new();
        }
        let [first, second] = self.corrections();
        let mean = |kernel, beta: f64, number: usize| {
            let coupled = Number::Size(usize::from(self.coupled_decay.is_some()));
            let [decay, old, new] =
                [self.coupled_decay.unwrap_or(0.0), beta, 1.0 - beta].map(Number::Real);
            Update {
                plan: plan::by_value(kernel, count, &[coupled, decay, old, new]),
                tensors: [Part::Running(number), Part::Gradient, Part::Value],
            }
        };
        let numbers = [self.kept, self.learning_rate / first, 1.0 / second, self.eps];
        vec![
            mean("adam_mean", self.beta1, 0),
            mean("adam_square", self.beta2, 1),
            Update {
                plan: plan::by_value("adam_value", count, &numbers.map(Number::Real)),
                tensors: [Part::Value, Part::Running(0), Part::Running(1)],
            },
        ]
    }
}

/// That settings of the means can be used.
pub(super) fn require_moments(beta1: f64, beta2: f64, eps: f64) -> tcmax_registry::Result<()> {
    require_decay("beta1", beta1)?;
    require_decay("beta2", beta2)?;
    require(eps.is_finite() && eps >= 0.0, "eps", "must be a number of at least 0")
}

/// The rest of an Adam, beside its options: how they are checked, and the rule they make. `$coupled` and
/// `$kept` make the fields of [`Moments`] from learning rate and weight decay.
macro_rules! adam_rule {
    ($Options:ty, coupled_decay: $coupled:expr, kept: $kept:expr) => {
        impl tcmax_registry::OptionSet for $Options {
            fn check(&self) -> tcmax_registry::Result<()> {
                $crate::training::optimise::rule::require_rates(
                    self.learning_rate,
                    self.weight_decay,
                )?;
                $crate::training::optimise::moments::require_moments(
                    self.beta1, self.beta2, self.eps,
                )
            }
        }

        impl Rule for $Options {
            type Kernel = Moments;

            fn kernel(&self, pace: Pace) -> Moments {
                let Pace { steps, learning_rate, weight_decay } = pace;
                let Self { beta1, beta2, eps, .. } = *self;
                let coupled_decay = $coupled(weight_decay);
                let kept = $kept(learning_rate, weight_decay);
                Moments { beta1, beta2, eps, steps, learning_rate, coupled_decay, kept }
            }

            fn running(&self) -> &'static [&'static str] {
                $crate::training::optimise::moments::running(self.amsgrad)
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
                self.beta1
            }

            fn set_momentum(&mut self, momentum: f64) {
                self.beta1 = momentum;
            }
        }
    };
}
pub(super) use adam_rule;
