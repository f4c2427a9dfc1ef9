//! Named parameters and buffers of a model.
//!
//! candle's `VarMap` draws from a generator that cannot be seeded on the CPU, iterates in hash
//! order, and holds running statistics among the variables an optimiser would update. A
//! [`Params`] is ordered by name, keeps trainable parameters and buffers apart, and draws each
//! parameter from its own [`Seed`] branch: the value depends on the run's seed and the parameter's
//! name, and on nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};

use crate::error::{Error, Result};
use crate::training::init::Init;
use crate::training::members::Members;
use crate::training::seed::Seed;

/// Tensors by full dotted name, such as `audio_net.layer1.0.conv1.weight`.
pub type State = BTreeMap<String, Tensor>;

/// The trainable parameters and the buffers of one model, in the order of their names.
///
/// A model computes with the filters of a convolution in the native layout, (K_h, K_w, C, O); states hold
/// them in PyTorch's, (O, C, K_h, K_w). [`Self::snapshot`] and [`Self::load`] convert.
#[derive(Clone, Debug, Default)]
pub struct Params {
    trainable: BTreeMap<String, Var>,
    buffers: BTreeMap<String, Var>,
    /// Names of the parameters that are filters.
    filters: BTreeSet<String>,
}

impl Params {
    /// What the optimiser updates.
    pub fn trainable(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.trainable.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// What training changes by other means than the optimiser, such as running statistics.
    pub fn buffers(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.buffers.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The number of trainable scalars.
    pub fn num_trainable(&self) -> usize {
        self.trainable.values().map(|var| var.elem_count()).sum()
    }

    /// A deep copy of every parameter and buffer in PyTorch's layout: later updates do not reach it.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn snapshot(&self) -> Result<State> {
        let copied = |(name, var): (&str, &Var)| {
            Ok((name.to_owned(), self.to_pytorch_layout(name, &var.as_detached_tensor())?))
        };
        self.all().map(copied).collect()
    }

    /// A deep copy of a parameter's value, gradient or optimiser state in PyTorch's layout, from the native
    /// one.
    ///
    /// # Errors
    /// When the tensor's rank is not the parameter's.
    pub fn to_pytorch_layout(&self, name: &str, native: &Tensor) -> Result<Tensor> {
        Ok(match self.filters.contains(name) {
            // A copy even where both layouts have the numbers in one order, as for one channel.
            true => native.permute((3, 2, 0, 1))?.force_contiguous()?,
            false => native.copy()?,
        })
    }

    /// The inverse of [`Self::to_pytorch_layout`].
    ///
    /// # Errors
    /// When the tensor's rank is not the parameter's.
    pub fn to_native_layout(&self, name: &str, pytorch: &Tensor) -> Result<Tensor> {
        Ok(match self.filters.contains(name) {
            true => pytorch.permute((2, 3, 1, 0))?.force_contiguous()?,
            false => pytorch.copy()?,
        })
    }

    /// The shape of a parameter or buffer in PyTorch's layout.
    pub fn pytorch_shape(&self, name: &str, var: &Var) -> Shape {
        match *var.dims() {
            [k_h, k_w, from, to] if self.filters.contains(name) => {
                Shape::from((to, from, k_h, k_w))
            }
            _ => var.shape().clone(),
        }
    }

    /// Writes `state` into the parameters and buffers, converting the element type if need be.
    ///
    /// # Errors
    /// When names or shapes differ in either direction; nothing is changed then.
    pub fn load(&self, state: &State) -> Result<()> {
        for (name, var) in self.all() {
            let wanted = self.pytorch_shape(name, var);
            let Some(tensor) = state.get(name) else {
                return Err(Error::MissingTensor { name: name.to_owned(), shape: wanted });
            };
            if *tensor.shape() != wanted {
                let got = tensor.shape().clone();
                return Err(Error::WrongShape { name: name.to_owned(), got, wanted });
            }
        }
        for name in state.keys() {
            if !self.trainable.contains_key(name) && !self.buffers.contains_key(name) {
                return Err(Error::UnknownTensor { name: name.clone() });
            }
        }
        for (name, var) in self.all() {
            let tensor = state[name].to_dtype(var.dtype())?.to_device(var.device())?;
            let tensor = self.to_native_layout(name, &tensor)?;
            // `Var::set` copies the values, so the state and the model share no storage.
            var.set(&tensor)?;
        }
        Ok(())
    }

    /// The trainable parameters whose names `keep` accepts, sharing their values: for optimisers with
    /// settings of their own.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.trainable.iter().filter(|(name, _)| keep(name));
        let trainable: BTreeMap<String, Var> =
            kept.map(|(name, var)| (name.clone(), var.clone())).collect();
        let filters = self.filters.iter().filter(|name| trainable.contains_key(*name));
        Self { filters: filters.cloned().collect(), trainable, buffers: BTreeMap::new() }
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.trainable().chain(self.buffers())
    }
}

/// Builds a [`Params`] layer by layer; `clone`s and [`Self::pp`] children fill the same store.
///
/// ```
/// use candle_core::{DType, Device};
/// use tcmax_ops::{Init, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// builder.pp("head").param("weight", (10, 64), Init::XavierNormal)?;
/// builder.pp("norm").buffer("running_mean", 64, 0.0)?;
/// let params = builder.params();
/// assert_eq!(params.num_trainable(), 640);
/// assert_eq!(params.trainable().next().unwrap().0, "head.weight");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ParamBuilder {
    store: Arc<Mutex<Params>>,
    prefix: String,
    seed: Seed,
    dtype: DType,
    device: Device,
    /// Most numbers that all parameters and buffers together may have.
    limit: usize,
    members: Members,
    /// Whether what is there already is handed out again.
    again: bool,
}

impl ParamBuilder {
    /// A builder of an empty store; parameters are drawn from branches of `seed`.
    pub fn new(seed: Seed, dtype: DType, device: &Device) -> Self {
        Self {
            store: Arc::default(),
            prefix: String::new(),
            seed,
            dtype,
            device: device.clone(),
            limit: usize::MAX,
            members: Members::alone(),
            again: false,
        }
    }

    /// A builder of the same store for something that is made a second time: what is there under a name already, in the
    /// shape asked for, is handed out as it is.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use tcmax_ops::{Init, ParamBuilder, Seed};
    ///
    /// # fn main() -> tcmax_ops::Result<()> {
    /// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    /// let weight = builder.param("weight", (10, 64), Init::XavierNormal)?;
    /// assert!(builder.param("weight", (10, 64), Init::XavierNormal).is_err());
    /// let same = builder.again().param("weight", (10, 64), Init::XavierNormal)?;
    /// assert_eq!(same.id(), weight.id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn again(&self) -> Self {
        Self { again: true, ..self.clone() }
    }

    /// A builder that refuses a parameter or buffer, before anything is allocated for it, if the store
    /// would then have more than `limit` numbers.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use tcmax_ops::{Init, ParamBuilder, Seed};
    ///
    /// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu).at_most(1_000);
    /// assert!(builder.param("weight", (10, 64), Init::XavierNormal).is_ok());
    /// let error = builder.param("huge", (1 << 40, 1 << 40), Init::XavierNormal).unwrap_err();
    /// assert!(error.to_string().contains("'huge'"));
    /// ```
    #[must_use]
    pub fn at_most(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// A builder of layers that several members train together. Parameters are those of one member alone.
    #[must_use]
    pub fn with_members(self, members: Members) -> Self {
        Self { members, ..self }
    }

    /// The members that train what is built.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// A builder of the same store for what lives on the CPU wherever the network does, such as counts of steps.
    #[must_use]
    pub fn on_host(&self) -> Self {
        Self { device: Device::Cpu, ..self.clone() }
    }

    /// The builder one level down: names get `name` and a dot in front.
    #[must_use]
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: self.full_name(&name.to_string()), ..self.clone() }
    }

    /// The branch of the seed that the prefix names: for what is drawn in training, such as dropout. Of several
    /// members each has its own.
    pub fn seed(&self) -> Seed {
        let seed = self.seed.stream(&self.prefix);
        match self.members.group().size() {
            1 => seed,
            _ => seed.stream("member").index(self.members.group().rank() as u64),
        }
    }

    /// The element type of the parameters.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Adds a trainable parameter and returns the tensor that layers compute with.
    ///
    /// # Errors
    /// When the name is taken, or the shape does not fit into memory.
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Result<Tensor> {
        let name = self.full_name(name);
        let shape = shape.into();
        if let Some(var) = self.there(|store| &store.trainable, &name, &shape) {
            return Ok(var.as_tensor().clone());
        }
        self.check_room(&name, &shape)?;
        let value = init.tensor(&shape, self.seed.stream(&name), self.dtype, &self.device)?;
        let var = Var::from_tensor(&value)?;
        let mut store = self.lock();
        check_free(&store, &name)?;
        store.trainable.insert(name, var.clone());
        Ok(var.as_tensor().clone())
    }

    /// Adds the filters of a convolution, given in PyTorch's shape (out, in, height, width), and returns
    /// them as [`conv2d`](crate::conv2d()) takes them: (height, width, in, out).
    ///
    /// # Errors
    /// When the name is taken, or the shape does not fit into memory.
    pub fn filters(&self, name: &str, shape: [usize; 4], init: Init) -> Result<Tensor> {
        let name = self.full_name(name);
        let [to, from, k_h, k_w] = shape;
        let shape = Shape::from((to, from, k_h, k_w));
        if let Some(var) =
            self.there(|store| &store.trainable, &name, &Shape::from((k_h, k_w, from, to)))
        {
            return Ok(var.as_tensor().clone());
        }
        self.check_room(&name, &shape)?;
        let value = init.tensor(&shape, self.seed.stream(&name), self.dtype, &self.device)?;
        let var = Var::from_tensor(&value.permute((2, 3, 1, 0))?.contiguous()?)?;
        let mut store = self.lock();
        check_free(&store, &name)?;
        store.filters.insert(name.clone());
        store.trainable.insert(name, var.clone());
        Ok(var.as_tensor().clone())
    }

    /// Adds a buffer filled with `value`: saved with the model, never given to the optimiser.
    ///
    /// # Errors
    /// When the name is taken, or the shape does not fit into memory.
    pub fn buffer(&self, name: &str, shape: impl Into<Shape>, value: f64) -> Result<Var> {
        let name = self.full_name(name);
        let shape = shape.into();
        if let Some(var) = self.there(|store| &store.buffers, &name, &shape) {
            return Ok(var);
        }
        self.check_room(&name, &shape)?;
        let init = Init::Const(value);
        let value = init.tensor(&shape, self.seed.stream(&name), self.dtype, &self.device)?;
        let var = Var::from_tensor(&value)?;
        let mut store = self.lock();
        check_free(&store, &name)?;
        store.buffers.insert(name, var.clone());
        Ok(var)
    }

    /// What is there under a name in this shape, where it may be handed out again.
    fn there(
        &self,
        kind: impl Fn(&Params) -> &BTreeMap<String, Var>,
        name: &str,
        shape: &Shape,
    ) -> Option<Var> {
        let store = self.lock();
        kind(&store).get(name).filter(|var| self.again && var.shape() == shape).cloned()
    }

    /// Everything added so far.
    pub fn params(&self) -> Params {
        self.lock().clone()
    }

    /// Refuses what would exceed the limit, or what no number can count.
    fn check_room(&self, name: &str, shape: &Shape) -> Result<()> {
        let wanted = shape.dims().iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        let there: usize = self.lock().all().map(|(_, var)| var.elem_count()).sum();
        match wanted.and_then(|wanted| wanted.checked_add(there)) {
            Some(total) if total <= self.limit => Ok(()),
            _ => Err(Error::OverLimit {
                name: name.to_owned(),
                shape: shape.clone(),
                limit: self.limit,
            }),
        }
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    // The store is valid after every insert, so a panic of another thread does not matter.
    fn lock(&self) -> MutexGuard<'_, Params> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_free(store: &Params, name: &str) -> Result<()> {
    if store.trainable.contains_key(name) || store.buffers.contains_key(name) {
        return Err(Error::DuplicateName { name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(seed: u64) -> ParamBuilder {
        ParamBuilder::new(Seed::new(seed), DType::F64, &Device::Cpu)
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_parameter_depends_on_seed_and_name_but_not_on_build_order() {
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        let (one, two) = (builder(1), builder(1));
        let a = one.param("a", 5, normal).unwrap();
        let b = one.param("b", 5, normal).unwrap();
        let b_first = two.param("b", 5, normal).unwrap();
        assert_eq!(values(&b), values(&b_first));
        assert_ne!(values(&a), values(&b));
        assert_ne!(values(&a), values(&builder(2).param("a", 5, normal).unwrap()));
    }

    #[test]
    fn a_snapshot_is_a_copy_and_loads_back() {
        let builder = builder(1);
        builder.param("w", 3, Init::Const(1.0)).unwrap();
        builder.buffer("mean", 2, 4.0).unwrap();
        let params = builder.params();
        let snapshot = params.snapshot().unwrap();
        let (_, w) = params.trainable().next().unwrap();
        w.set(&Tensor::full(9.0, 3, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(values(&snapshot["w"]), [1.0; 3]);
        params.load(&snapshot).unwrap();
        assert_eq!(values(w.as_tensor()), [1.0; 3]);
    }

    #[test]
    fn filters_are_saved_in_the_layout_of_pytorch() {
        let builder = builder(1);
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let native = builder.filters("w", [4, 3, 1, 2], unit).unwrap();
        assert_eq!(native.dims(), [1, 2, 3, 4]);
        let params = builder.params();
        let saved = params.snapshot().unwrap();
        assert_eq!(saved["w"].dims(), [4, 3, 1, 2]);
        let entry = |t: &Tensor, index: [usize; 4]| {
            index.iter().fold(t.clone(), |t, i| t.get(*i).unwrap()).to_scalar::<f64>().unwrap()
        };
        assert_eq!(entry(&saved["w"], [3, 1, 0, 1]), entry(&native, [0, 1, 1, 3]));
        let before = values(&native);
        let (_, var) = params.trainable().next().unwrap();
        var.set(&var.zeros_like().unwrap()).unwrap();
        params.load(&saved).unwrap();
        assert_eq!(values(var.as_tensor()), before);
        // The native layout is not the saved one.
        let wrong = State::from([("w".to_owned(), native)]);
        assert!(matches!(params.load(&wrong), Err(Error::WrongShape { .. })));
    }

    #[test]
    fn filters_of_one_channel_are_copied_too() {
        let builder = builder(1);
        builder.filters("w", [1, 1, 3, 3], Init::Const(1.0)).unwrap();
        let params = builder.params();
        let snapshot = params.snapshot().unwrap();
        let (_, var) = params.trainable().next().unwrap();
        var.set(&Tensor::full(9.0, (3, 3, 1, 1), &Device::Cpu).unwrap()).unwrap();
        assert_eq!(values(&snapshot["w"]), [1.0; 9]);
        params.load(&snapshot).unwrap();
        assert_eq!(values(var.as_tensor()), [1.0; 9]);
    }

    #[test]
    fn loading_names_what_does_not_fit() {
        let builder = builder(1);
        builder.param("w", 3, Init::Const(1.0)).unwrap();
        let params = builder.params();
        assert!(matches!(params.load(&State::new()), Err(Error::MissingTensor { .. })));
        let wrong = Tensor::zeros(4, DType::F64, &Device::Cpu).unwrap();
        let state = State::from([("w".to_owned(), wrong)]);
        assert!(matches!(params.load(&state), Err(Error::WrongShape { .. })));
        let mut state = params.snapshot().unwrap();
        state.insert("extra".to_owned(), state["w"].clone());
        assert!(matches!(params.load(&state), Err(Error::UnknownTensor { .. })));
    }

    #[test]
    fn what_exceeds_the_limit_is_refused_before_it_is_allocated() {
        let builder = builder(1).at_most(1_000);
        builder.pp("a").param("w", (20, 20), Init::Const(0.0)).unwrap();
        builder.buffer("mean", 500, 0.0).unwrap();
        let huge = 1usize << 33;
        let refused = [
            builder.param("w", 101, Init::Const(0.0)).err(),
            builder.pp("b").filters("w", [huge, huge, 3, 3], Init::Const(0.0)).err(),
            builder.pp("c").buffer("mean", huge, 0.0).err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::OverLimit { .. })), "{error:?}");
        }
        builder.param("w", 100, Init::Const(0.0)).unwrap();
    }

    #[test]
    fn a_name_is_given_once() {
        let builder = builder(1);
        builder.param("w", 3, Init::Const(1.0)).unwrap();
        assert!(matches!(builder.buffer("w", 3, 0.0), Err(Error::DuplicateName { .. })));
    }
}
