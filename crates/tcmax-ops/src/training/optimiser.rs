//! What optimisers share: running values beside each parameter, one pass over memory in each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, DType, Device, InplaceOp2, Layout, Result as CandleResult, Shape, Tensor, Var,
    backprop::GradStore, bail,
};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::{open, tensor_of, values};
use crate::error::{Error, Result};
use crate::training::params::{Params, State};
use crate::wide::to_scalar_f64;

const OP: &str = "optimiser";

/// Values of one task.
const BAND: usize = 1 << 15;

/// The name under which the number of steps is saved.
const STEPS: &str = "steps";

/// How values are updated, with `N` running values beside each that start at 0.
pub trait Rule<const N: usize>: Copy + Sync {
    /// Names of the running values.
    const STATE: [&'static str; N];

    /// Refuses settings that no training can use.
    ///
    /// # Errors
    /// When a decay is outside [0, 1).
    fn check(&self) -> Result<()>;

    fn set_learning_rate(&mut self, learning_rate: f64);

    /// Updates some values and their running values in step number `step`, counted from 1. All slices are
    /// of one length. Runs inside a kernel: `#[inline(always)]`.
    fn update<T: Element>(&self, step: u64, value: &mut [T], gradient: &[T], state: [&mut [T]; N]);

    /// The same on whole tensors, for devices without the kernel.
    fn composed(
        &self,
        step: u64,
        value: &Tensor,
        gradient: &Tensor,
        state: &[Tensor; N],
    ) -> CandleResult<(Tensor, [Tensor; N])>;
}

/// The running values of one parameter.
#[derive(Debug)]
enum Running<const N: usize> {
    Cpu([CpuStorage; N]),
    Device([Tensor; N]),
}

/// An optimiser of one [`Params`] with an update rule and `N` running values for each value:
/// [`Sgd`](crate::Sgd) or [`AdamW`](crate::AdamW). On a CPU each parameter is updated in one pass over
/// memory.
#[derive(Debug)]
pub struct Optimiser<R, const N: usize> {
    rule: R,
    params: Params,
    running: BTreeMap<String, Running<N>>,
    steps: u64,
}

impl<R: Rule<N>, const N: usize> Optimiser<R, N> {
    /// An optimiser that has made no step.
    ///
    /// # Errors
    /// When a setting is outside its range.
    pub fn new(params: &Params, rule: R) -> Result<Self> {
        rule.check()?;
        Ok(Self { rule, params: params.clone(), running: BTreeMap::new(), steps: 0 })
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.rule.set_learning_rate(learning_rate);
    }

    /// Updates every parameter that has a gradient.
    ///
    /// # Errors
    /// When a gradient has another shape or element type than its parameter.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        for (name, var) in self.params.trainable() {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            if gradient.dims() != var.dims() || gradient.dtype() != var.dtype() {
                let (got, wanted) = (gradient.shape().clone(), var.shape().clone());
                return Err(Error::WrongShape { name: name.to_owned(), got, wanted });
            }
            let running = match self.running.entry(name.to_owned()) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(Running::zeros(var)?)
                }
            };
            update(&self.rule, self.steps, var, &gradient.detach(), running)?;
        }
        Ok(())
    }

    /// The running values of every parameter in PyTorch's layout, zeros where it has made no step, and the
    /// number of steps: deep copies. SGD has `momentum.NAME` for each parameter, AdamW `mean.NAME` and
    /// `square.NAME`, and both have `steps`.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn state(&self) -> Result<State> {
        let mut state = State::new();
        for (name, var) in self.params.trainable() {
            for (index, kind) in R::STATE.iter().enumerate() {
                let tensor = match self.running.get(name) {
                    Some(running) => {
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
        // Whole numbers up to 2^53 are exact, and every file format has f64.
        state.insert(STEPS.to_owned(), Tensor::new(self.steps as f64, &Device::Cpu)?);
        Ok(state)
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// When a tensor of [`Self::state`] is missing, or there is another one, a shape differs, or the number
    /// of steps is not a whole number. The error names the tensor, and nothing is changed.
    pub fn load_state(&mut self, state: &State) -> Result<()> {
        let steps = steps_of(state)?;
        let mut known = BTreeSet::from([STEPS.to_owned()]);
        let mut running = BTreeMap::new();
        for (name, var) in self.params.trainable() {
            let mut tensors = Vec::with_capacity(N);
            for kind in R::STATE {
                let full_name = format!("{kind}.{name}");
                let wanted = self.params.pytorch_shape(name, var);
                let Some(tensor) = state.get(&full_name) else {
                    return Err(Error::MissingTensor { name: full_name, shape: wanted });
                };
                if *tensor.shape() != wanted {
                    let got = tensor.shape().clone();
                    return Err(Error::WrongShape { name: full_name, got, wanted });
                }
                let tensor = tensor.to_dtype(var.dtype())?.to_device(var.device())?;
                tensors.push(self.params.to_native_layout(name, &tensor)?);
                known.insert(full_name);
            }
            running.insert(name.to_owned(), Running::of(tensors)?);
        }
        if let Some(name) = state.keys().find(|name| !known.contains(*name)) {
            return Err(Error::UnknownTensor { name: name.clone() });
        }
        (self.running, self.steps) = (running, steps);
        Ok(())
    }
}

/// Refuses a decay that is not one.
pub(crate) fn check_decay(setting: &'static str, value: f64) -> Result<()> {
    let valid = (0.0..1.0).contains(&value);
    if valid { Ok(()) } else { Err(Error::WrongDecay { setting, got: value }) }
}

/// The number of steps in a saved state.
fn steps_of(state: &State) -> Result<u64> {
    let shape = Shape::from(());
    let Some(tensor) = state.get(STEPS) else {
        return Err(Error::MissingTensor { name: STEPS.to_owned(), shape });
    };
    if tensor.elem_count() != 1 {
        let got = tensor.shape().clone();
        return Err(Error::WrongShape { name: STEPS.to_owned(), got, wanted: shape });
    }
    let steps = to_scalar_f64(tensor)?;
    // What f64 counts exactly.
    let valid = steps.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&steps);
    if valid { Ok(steps as u64) } else { Err(Error::WrongSteps { got: steps }) }
}

impl<const N: usize> Running<N> {
    fn zeros(var: &Var) -> Result<Self> {
        Self::of(vec![var.zeros_like()?; N])
    }

    fn of(tensors: Vec<Tensor>) -> Result<Self> {
        let on_cpu = tensors.iter().all(|tensor| {
            tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
        });
        let tensors: [Tensor; N] = match tensors.try_into() {
            Ok(tensors) => tensors,
            Err(_) => unreachable!("one tensor for each running value"),
        };
        if !on_cpu {
            return Ok(Self::Device(tensors));
        }
        let mut storages = Vec::with_capacity(N);
        for tensor in &tensors {
            storages.push(open(tensor, OP).copy()?);
        }
        match storages.try_into() {
            Ok(storages) => Ok(Self::Cpu(storages)),
            Err(_) => unreachable!("one storage for each running value"),
        }
    }

    fn tensor(&self, index: usize, like: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Cpu(storages) => tensor_of(storages[index].clone(), like),
            Self::Device(tensors) => Ok(tensors[index].clone()),
        }
    }
}

fn update<R: Rule<N>, const N: usize>(
    rule: &R,
    step: u64,
    var: &Var,
    gradient: &Tensor,
    running: &mut Running<N>,
) -> Result<()> {
    match running {
        Running::Cpu(storages) => {
            let op = InPlace { rule, step, storages: Mutex::new(storages) };
            var.as_detached_tensor().inplace_op2(&gradient.contiguous()?, &op)?;
        }
        Running::Device(tensors) => {
            let value = var.as_detached_tensor();
            let (value, state) = rule.composed(step, &value, gradient, tensors)?;
            *tensors = state;
            var.set(&value)?;
        }
    }
    Ok(())
}

/// One pass over a parameter, its gradient and its running values.
struct InPlace<'a, R, const N: usize> {
    rule: &'a R,
    step: u64,
    // candle passes the operation as a shared reference, but calls it once.
    storages: Mutex<&'a mut [CpuStorage; N]>,
}

impl<R: Rule<N>, const N: usize> InplaceOp2 for InPlace<'_, R, N> {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> CandleResult<()> {
        match value {
            CpuStorage::F32(_) => self.pass::<f32>(value, layout, gradient, gradient_layout),
            CpuStorage::F64(_) => self.pass::<f64>(value, layout, gradient, gradient_layout),
            _ => bail!("{OP}: f32 and f64 are supported"),
        }
    }
}

impl<R: Rule<N>, const N: usize> InPlace<'_, R, N> {
    fn pass<T: Element>(
        &self,
        value: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> CandleResult<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{OP}: a parameter is not contiguous");
        };
        let gradient = values::<T>(gradient, gradient_layout, OP)?;
        let value = &mut T::slice_mut(value)?[start..end];
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = Vec::with_capacity(N);
        for storage in storages.iter_mut() {
            state.push(T::slice_mut(storage)?);
        }
        let Ok(state) = <[&mut [T]; N]>::try_from(state) else {
            unreachable!("one slice for each running value");
        };
        self.bands(value, gradient, state);
        Ok(())
    }

    fn bands<T: Element>(&self, value: &mut [T], gradient: &[T], state: [&mut [T]; N]) {
        let mut state = state.map(|slice| slice.chunks_mut(BAND));
        let bands: Vec<_> = value
            .chunks_mut(BAND)
            .zip(gradient.chunks(BAND))
            .map(|(value, gradient)| {
                let state = std::array::from_fn(|index| state[index].next().unwrap_or_default());
                (value, gradient, state)
            })
            .collect();
        bands.into_par_iter().for_each(|(value, gradient, state)| {
            run(Band { rule: self.rule, step: self.step, value, gradient, state });
        });
    }
}

/// Some values of a parameter, with their gradients and running values.
struct Band<'a, R, T, const N: usize> {
    rule: &'a R,
    step: u64,
    value: &'a mut [T],
    gradient: &'a [T],
    state: [&'a mut [T]; N],
}

impl<R: Rule<N>, T: Element, const N: usize> WithSimd for Band<'_, R, T, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.rule.update(self.step, self.value, self.gradient, self.state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::adamw::{AdamW, AdamWConfig};
    use crate::training::init::Init;
    use crate::training::params::ParamBuilder;
    use crate::training::seed::Seed;
    use crate::wide::to_vec_f64;

    fn params() -> (Params, Tensor) {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let moved = builder.filters("moved", [2, 3, 1, 2], Init::Const(1.0)).unwrap();
        builder.param("still", 2, Init::Const(1.0)).unwrap();
        (builder.params(), moved)
    }

    fn adam() -> AdamW {
        let (params, moved) = params();
        let mut adam = AdamW::new(&params, AdamWConfig::default()).unwrap();
        adam.step(&moved.sqr().unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
        adam
    }

    #[test]
    fn a_state_holds_every_parameter_and_comes_back_the_same() {
        let state = adam().state().unwrap();
        let names: Vec<&str> = state.keys().map(String::as_str).collect();
        let wanted = ["mean.moved", "mean.still", "square.moved", "square.still", "steps"];
        assert_eq!(names, wanted);
        let mut other = AdamW::new(&params().0, AdamWConfig::default()).unwrap();
        other.load_state(&state).unwrap();
        for (name, tensor) in other.state().unwrap() {
            assert_eq!(tensor.shape(), state[&name].shape());
            assert_eq!(to_vec_f64(&tensor).unwrap(), to_vec_f64(&state[&name]).unwrap());
        }
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
