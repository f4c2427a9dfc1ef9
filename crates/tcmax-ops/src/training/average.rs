//! Weights averaged over steps.
//!
//! ```text
//! a <- d a + (1 - d) p,    d = decay, with warm-up min(decay, (1 + t) / (10 + t))
//! ```
//!
//! with t the updates before this one and a starting as p. The average of a parameter often generalises better
//! than its last value. Buffers, such as the running statistics of norms, are not averaged: the averaged
//! weights come with the latest ones.
//!
//! Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the exponential
//! form and its warm-up as in TensorFlow's `ExponentialMovingAverage`.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Result as CandleResult, Shape, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, require};

use crate::cpu::element::Element;
use crate::error::{Error, Result};
use crate::training::optimise::kernel::{Kernel, Parameter, apply_all};
use crate::training::optimise::running::Running;
use crate::training::optimise::saved::{named, whole_steps};
use crate::training::params::{Params, State};
use crate::wide::to_scalar_f64;

/// The names in a saved state: of the averages, in front of the parameter's, and of the number of updates.
const AVERAGE: &str = "average";
const STEPS: &str = "steps";

/// Options of [`WeightAverage`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AverageOptions {
    /// Share of the old average that stays at each step, at least 0 and below 1.
    pub decay: f64,
    /// Whether the first updates have a smaller decay, so that the start is forgotten soon.
    pub warm_up: bool,
}

impl Default for AverageOptions {
    fn default() -> Self {
        Self { decay: 0.999, warm_up: true }
    }
}

impl OptionSet for AverageOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = (0.0..1.0).contains(&self.decay);
        require(fits, "decay", "must be at least 0 and below 1")
    }
}

/// The exponential moving average of every trainable parameter.
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{AverageOptions, Init, ParamBuilder, Seed, WeightAverage};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let p = builder.param("p", 1, Init::Const(1.0))?;
/// let params = builder.params();
/// let mut average = WeightAverage::new(&params, AverageOptions { decay: 0.75, warm_up: false })?;
/// for (_, var) in params.trainable() {
///     var.set(&var.affine(0.0, 5.0)?)?;
/// }
/// average.update()?;
/// // 0.75 * 1 + 0.25 * 5
/// let evaluated = average.swapped_in(|| tcmax_ops::Result::Ok(p.to_vec1::<f64>()?))?;
/// assert_eq!((evaluated, p.to_vec1::<f64>()?), (vec![2.0], vec![5.0]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WeightAverage {
    options: AverageOptions,
    params: Params,
    /// In the native layout.
    averages: BTreeMap<String, Var>,
    steps: u64,
}

impl WeightAverage {
    /// Averages that are the parameters as they are.
    ///
    /// # Errors
    /// When the decay is out of range.
    pub fn new(params: &Params, options: AverageOptions) -> Result<Self> {
        options.check()?;
        let copied = |(name, var): (&str, &Var)| {
            Ok((name.to_owned(), Var::from_tensor(&var.as_detached_tensor().copy()?)?))
        };
        let averages = params.trainable().map(copied).collect::<Result<_>>()?;
        Ok(Self { options, params: params.clone(), averages, steps: 0 })
    }

    /// Updates the averages, after a step of the parameters.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn update(&mut self) -> Result<()> {
        let AverageOptions { decay, warm_up } = self.options;
        let early = (1.0 + self.steps as f64) / (10.0 + self.steps as f64);
        self.update_with(if warm_up { decay.min(early) } else { decay })
    }

    /// Updates the averages with a decay for this update alone.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn update_with(&mut self, decay: f64) -> Result<()> {
        let none = self.averages.values().map(|average| Running::of(average, Vec::new()));
        let mut none = none.collect::<CandleResult<Vec<_>>>()?;
        let averages = self.averages.iter().zip(self.params.trainable()).zip(&mut none);
        let kernel = Towards { decay };
        let parameter = |(((_, average), (_, var)), running)| {
            let (average, var): (&Var, &Var) = (average, var);
            Parameter { kernel, var: average, gradient: var.as_detached_tensor(), running }
        };
        apply_all(averages.map(parameter).collect())?;
        self.steps += 1;
        Ok(())
    }

    /// Starts anew from the parameters as they are.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn restart(&mut self) -> Result<()> {
        *self = Self::new(&self.params, self.options)?;
        Ok(())
    }

    /// The averages and the buffers as they are now, as [`Params::load`] takes them: deep copies.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn weights(&self) -> Result<State> {
        let mut weights = self.averages_with("")?;
        for (name, var) in self.params.buffers() {
            weights.insert(name.to_owned(), var.as_detached_tensor().copy()?);
        }
        Ok(weights)
    }

    /// Runs `f`, such as an evaluation, with the averages in the place of the parameters, which come back
    /// afterwards, whatever `f` returns.
    ///
    /// # Errors
    /// What `f` returns, or if the device fails.
    pub fn swapped_in<T, E: From<Error>>(
        &self,
        f: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let live = self.replace(&self.averages)?;
        let result = f();
        self.replace(&live)?;
        result
    }

    /// Sets the parameters; returns copies of what they were.
    fn replace(&self, values: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Var>> {
        let mut before = BTreeMap::new();
        for ((name, var), value) in self.params.trainable().zip(values.values()) {
            let copy = Var::from_tensor(&var.as_detached_tensor().copy()?)?;
            before.insert(name.to_owned(), copy);
            var.set(&value.as_detached_tensor())?;
        }
        Ok(before)
    }

    /// What is needed to continue: `average.NAME` for each parameter, in PyTorch's layout, and `steps`, the
    /// number of updates. Deep copies.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn state(&self) -> Result<State> {
        let mut state = self.averages_with(&format!("{AVERAGE}."))?;
        // Whole numbers up to 2^53 are exact.
        state.insert(STEPS.to_owned(), Tensor::new(self.steps as f64, &Device::Cpu)?);
        Ok(state)
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When a tensor of [`Self::state`] is missing, or there is another one, a shape differs, or the number
    /// of updates is not a whole number. The error names the tensor, and nothing is changed.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        let steps = whole_steps(to_scalar_f64(named(state, STEPS, &Shape::from(()))?)?)?;
        let mut known = BTreeSet::from([STEPS.to_owned()]);
        let mut averages = BTreeMap::new();
        for (name, var) in self.params.trainable() {
            let full_name = format!("{AVERAGE}.{name}");
            let tensor = named(state, &full_name, &self.params.pytorch_shape(name, var))?;
            let tensor = tensor.to_dtype(var.dtype())?.to_device(var.device())?;
            let tensor = self.params.to_native_layout(name, &tensor)?;
            averages.insert(name.to_owned(), Var::from_tensor(&tensor)?);
            known.insert(full_name);
        }
        if let Some(name) = state.keys().find(|name| !known.contains(*name)) {
            return Err(Error::UnknownTensor { name: name.clone() });
        }
        (self.averages, self.steps) = (averages, steps);
        Ok(())
    }

    /// Copies of the averages in PyTorch's layout, with something in front of their names.
    fn averages_with(&self, front: &str) -> Result<State> {
        let copied = |(name, average): (&String, &Var)| {
            let average = self.params.to_pytorch_layout(name, &average.as_detached_tensor())?;
            Ok((format!("{front}{name}"), average))
        };
        self.averages.iter().map(copied).collect()
    }
}

/// One step of an average towards values.
#[derive(Clone, Copy, Debug)]
struct Towards {
    decay: f64,
}

impl Kernel for Towards {
    #[inline(always)]
    fn update<T: Element>(&self, average: &mut [T], now: &[T], _: &mut [&mut [T]]) {
        let (old, new) = (T::from_f64(self.decay), T::from_f64(1.0 - self.decay));
        for (average, now) in average.iter_mut().zip(now) {
            *average = old * *average + new * *now;
        }
    }

    fn composed(
        &self,
        average: &Tensor,
        now: &Tensor,
        _: &[Tensor],
    ) -> CandleResult<(Tensor, Vec<Tensor>)> {
        Ok((((average * self.decay)? + (now * (1.0 - self.decay))?)?, Vec::new()))
    }
}
