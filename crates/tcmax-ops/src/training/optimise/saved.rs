//! The state of an optimiser: what it needs to continue.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Shape, Tensor};

use crate::error::{Error, Result};
use crate::training::optimise::optimiser::{Optimiser, Progress};
use crate::training::optimise::rule::Rule;
use crate::training::optimise::running::Running;
use crate::training::params::State;
use crate::wide::to_vec_f64;

/// The name under which the numbers of steps are saved.
const STEPS: &str = "steps";

impl<R: Rule> Optimiser<R> {
    /// The running values of every parameter in PyTorch's layout, zeros where it has made no step, and the
    /// numbers of steps: deep copies.
    ///
    /// SGD has `momentum.NAME` for each parameter, Adam and AdamW `mean.NAME` and `square.NAME`, with AMSGrad
    /// `largest.NAME` too. All have `steps` (P,), f64, one for each of P parameters in the order of their
    /// names.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn state(&self) -> Result<State> {
        let mut state = State::new();
        let mut steps = Vec::new();
        for (name, var) in self.params.trainable() {
            let progress = self.progress.get(name);
            // Whole numbers up to 2^53 are exact, and every file format has f64.
            steps.push(progress.map_or(0.0, |progress| progress.steps as f64));
            for (index, kind) in self.rule.running().iter().enumerate() {
                let tensor = match progress {
                    Some(Progress { running, .. }) => {
                        self.params.to_pytorch_layout(name, &running.tensor(index, var)?)?
                    }
                    None => {
                        let shape = self.params.pytorch_shape(name, var);
                        Tensor::zeros(shape, var.dtype(), var.device())?
                    }
                };
                state.insert(format!("{kind}.{name}"), tensor);
            }
        }
        let count = steps.len();
        state.insert(STEPS.to_owned(), Tensor::from_vec(steps, count, &Device::Cpu)?);
        Ok(state)
    }

    /// Continues from a saved state. One with a single number of steps is of an optimiser that counted them
    /// for all parameters together.
    ///
    /// # Errors
    /// When a tensor of [`Self::state`] is missing, or there is another one, a shape differs, or a number of
    /// steps is not a whole number. The error names the tensor, and nothing is changed.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        let steps = steps_of(state, self.params.trainable().len())?;
        let mut known = BTreeSet::from([STEPS.to_owned()]);
        let mut progress = BTreeMap::new();
        for ((name, var), steps) in self.params.trainable().zip(steps) {
            let mut tensors = Vec::new();
            for kind in self.rule.running() {
                let full_name = format!("{kind}.{name}");
                let wanted = self.params.pytorch_shape(name, var);
                let tensor = named(state, &full_name, &wanted)?;
                let tensor = tensor.to_dtype(var.dtype())?.to_device(var.device())?;
                tensors.push(self.params.to_native_layout(name, &tensor)?);
                known.insert(full_name);
            }
            let running = Running::of(var, tensors)?;
            progress.insert(name.to_owned(), Progress { steps, running });
        }
        if let Some(name) = state.keys().find(|name| !known.contains(*name)) {
            return Err(Error::UnknownTensor { name: name.clone() });
        }
        self.progress = progress;
        Ok(())
    }
}

/// The tensor of that name and shape.
pub(crate) fn named<'a>(state: &'a State, name: &str, wanted: &Shape) -> Result<&'a Tensor> {
    let name = name.to_owned();
    match state.get(&name) {
        None => Err(Error::MissingTensor { name, shape: wanted.clone() }),
        Some(tensor) if tensor.shape() != wanted => {
            Err(Error::WrongShape { name, got: tensor.shape().clone(), wanted: wanted.clone() })
        }
        Some(tensor) => Ok(tensor),
    }
}

/// The number of steps of each parameter in a saved state.
fn steps_of(state: &State, parameters: usize) -> Result<Vec<u64>> {
    let single = state.get(STEPS).is_some_and(|steps| steps.elem_count() == 1);
    let steps = match state.get(STEPS) {
        Some(steps) if single => to_vec_f64(steps)?.repeat(parameters),
        _ => to_vec_f64(named(state, STEPS, &Shape::from(parameters))?)?,
    };
    steps.into_iter().map(whole_steps).collect()
}

/// A saved number of steps.
pub(crate) fn whole_steps(steps: f64) -> Result<u64> {
    // What f64 counts exactly.
    let valid = steps.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&steps);
    if valid { Ok(steps as u64) } else { Err(Error::WrongSteps { got: steps }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::optimise::adamw::{AdamW, AdamWOptions};
    use crate::training::params::{ParamBuilder, Params};
    use crate::training::seed::Seed;
    use crate::wide::to_vec_f64;
    use candle_core::DType;

    fn params() -> (Params, Tensor) {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let moved = builder.filters("moved", [2, 3, 1, 2], Init::Const(1.0)).unwrap();
        builder.param("still", 2, Init::Const(1.0)).unwrap();
        (builder.params(), moved)
    }

    fn adam() -> AdamW {
        let (params, moved) = params();
        let mut adam = AdamW::new(&params, AdamWOptions::default()).unwrap();
        adam.step(&moved.sqr().unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
        adam
    }

    #[test]
    fn a_state_holds_every_parameter_and_comes_back_the_same() {
        let state = adam().state().unwrap();
        let names: Vec<&str> = state.keys().map(String::as_str).collect();
        let wanted = ["mean.moved", "mean.still", "square.moved", "square.still", "steps"];
        assert_eq!(names, wanted);
        assert_eq!(to_vec_f64(&state[STEPS]).unwrap(), [1.0, 0.0]);
        let mut other = AdamW::new(&params().0, AdamWOptions::default()).unwrap();
        other.load_state(&state).unwrap();
        for (name, tensor) in other.state().unwrap() {
            assert_eq!(tensor.shape(), state[&name].shape());
            assert_eq!(to_vec_f64(&tensor).unwrap(), to_vec_f64(&state[&name]).unwrap());
        }
    }

    #[test]
    fn a_single_number_of_steps_is_that_of_every_parameter() {
        let mut state = adam().state().unwrap();
        state.insert(STEPS.to_owned(), Tensor::new(7f64, &Device::Cpu).unwrap());
        let mut adam = adam();
        adam.load_state(&state).unwrap();
        assert_eq!(to_vec_f64(&adam.state().unwrap()[STEPS]).unwrap(), [7.0, 7.0]);
    }

    #[test]
    fn a_state_that_lacks_a_tensor_or_has_another_is_refused_by_name() {
        let whole = adam().state().unwrap();
        for name in whole.keys() {
            let mut state = whole.clone();
            let tensor = state.remove(name).unwrap();
            let message = adam().load_state(&state).unwrap_err().to_string();
            assert!(message.contains(&format!("'{name}'")), "{message}");
            state.insert(
                name.clone(),
                Tensor::cat(&[&tensor.flatten_all().unwrap(); 2], 0).unwrap(),
            );
            let error = adam().load_state(&state).unwrap_err();
            assert!(matches!(&error, Error::WrongShape { name: got, .. } if got == name));
        }
        for name in ["momentum.moved", "mean.other", "mean", "step"] {
            let mut state = whole.clone();
            state.insert(name.to_owned(), state["mean.moved"].clone());
            let error = adam().load_state(&state).unwrap_err();
            assert!(matches!(&error, Error::UnknownTensor { name: got } if got == name));
        }
        for steps in [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e300] {
            let mut state = whole.clone();
            state.insert(STEPS.to_owned(), Tensor::new(steps, &Device::Cpu).unwrap());
            let error = adam().load_state(&state).unwrap_err();
            assert!(matches!(error, Error::WrongSteps { .. }), "{steps}");
        }
    }
}
