//! One recorded case: what is given, what is expected, and what was compared so far.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use safetensors::SafeTensors;
use tcmax_estimators::Labels;

/// The comparison of one quantity.
#[derive(Clone, Debug)]
pub struct Compared {
    /// max |x - y| / max(floor, max |y|).
    pub error: f64,
    /// The largest error that passes.
    pub tolerance: f64,
}

impl Compared {
    /// Whether it passes; NaN does not.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// How close is close enough.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// The largest error that passes.
    pub largest: f64,
    /// Errors are relative to the largest entry, or to this if that is smaller.
    pub floor: f64,
}

impl Tolerance {
    /// Relative to the largest entry, or to 1.
    pub fn new(largest: f64) -> Self {
        Self { largest, floor: 1.0 }
    }

    /// An absolute difference.
    pub fn absolute(largest: f64) -> Self {
        Self { largest, floor: f64::INFINITY }
    }

    /// Relative to the largest entry, however small.
    pub fn of_largest(largest: f64) -> Self {
        Self { largest, floor: 1e-300 }
    }
}

/// A file of recorded values, with its numbers in one element type.
pub struct Case {
    /// Its name, from the metadata.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The element type under test.
    pub dtype: DType,
    metadata: HashMap<String, String>,
    /// As recorded.
    tensors: HashMap<String, Tensor>,
    vars: RefCell<BTreeMap<String, Var>>,
    compared: RefCell<BTreeMap<String, Compared>>,
    excused: RefCell<BTreeSet<String>>,
}

impl Case {
    /// Reads a file.
    pub fn read(path: &Path, dtype: DType) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            name: metadata.get("case").cloned().unwrap_or(stem),
            path: path.to_owned(),
            dtype,
            metadata,
            tensors,
            vars: RefCell::default(),
            compared: RefCell::default(),
            excused: RefCell::default(),
        })
    }

    /// An entry of the header.
    pub fn text(&self, key: &str) -> anyhow::Result<&str> {
        let value = self.metadata.get(key);
        value.map(String::as_str).with_context(|| format!("the header has no '{key}'"))
    }

    /// An entry of the header as a number.
    pub fn number<T: FromStr>(&self, key: &str) -> anyhow::Result<T> {
        let text = self.text(key)?;
        text.parse().map_err(|_| anyhow!("the header's '{key}' is '{text}', not a number"))
    }

    /// Whether a tensor was recorded.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of all tensors, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A tensor as recorded.
    pub fn recorded(&self, name: &str) -> anyhow::Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("the file has no '{name}'"))
    }

    /// A tensor in the element type under test.
    pub fn tensor(&self, name: &str) -> anyhow::Result<Tensor> {
        Ok(self.recorded(name)?.to_dtype(self.dtype)?)
    }

    /// A tensor that gradients are asked for: always the same variable.
    pub fn variable(&self, name: &str) -> anyhow::Result<Tensor> {
        let mut vars = self.vars.borrow_mut();
        if let Some(var) = vars.get(name) {
            return Ok(var.as_tensor().clone());
        }
        let var = Var::from_tensor(&self.tensor(name)?)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    /// A scalar as recorded.
    pub fn scalar(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.recorded(name)?.to_dtype(DType::F64)?.flatten_all()?.get(0)?.to_scalar()?)
    }

    /// Labels (or any whole numbers) of the tensor `name`.
    pub fn whole(&self, name: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.recorded(name)?.flatten_all()?.to_dtype(DType::U32)?.to_vec1()?)
    }

    /// The labels called `name`, of as many classes as the header says.
    pub fn labels(&self, name: &str) -> anyhow::Result<Labels> {
        self.labels_of(self.recorded(name)?)
    }

    /// Recorded numbers as labels of as many classes as the header says.
    pub fn labels_of(&self, numbers: &Tensor) -> anyhow::Result<Labels> {
        let numbers = numbers.flatten_all()?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        Ok(Labels::new(&numbers, self.number("C")?, &Device::Cpu)?)
    }

    /// The largest error of ordinary quantities.
    pub fn usual(&self) -> Tolerance {
        Tolerance::new(if self.dtype == DType::F64 { 1e-9 } else { 1e-5 })
    }

    /// Whether the numbers are in single precision.
    pub fn is_single(&self) -> bool {
        self.dtype == DType::F32
    }

    /// Compares a tensor with the recorded one of the name.
    pub fn check(&self, quantity: &str, got: &Tensor) -> anyhow::Result<()> {
        self.check_within(quantity, got, self.usual())
    }

    /// Compares a number with the recorded one of the name.
    pub fn check_value(&self, quantity: &str, got: f64) -> anyhow::Result<()> {
        self.check(quantity, &Tensor::new(got, &Device::Cpu)?)
    }

    /// Compares numbers with the recorded ones of the name.
    pub fn check_values(&self, quantity: &str, got: &[f64]) -> anyhow::Result<()> {
        self.check(quantity, &Tensor::new(got, &Device::Cpu)?)
    }

    /// Compares a tensor within a tolerance of its own.
    pub fn check_within(
        &self,
        quantity: &str,
        got: &Tensor,
        tolerance: Tolerance,
    ) -> anyhow::Result<()> {
        let error = error(got, self.recorded(quantity)?, tolerance.floor)
            .with_context(|| quantity.to_owned())?;
        let compared = Compared { error, tolerance: tolerance.largest };
        // The same quantity may be reached in several ways; the worst counts.
        let mut all = self.compared.borrow_mut();
        let worst = all.entry(quantity.to_owned()).or_insert_with(|| compared.clone());
        if compared.error.total_cmp(&worst.error).is_gt() {
            *worst = compared;
        }
        Ok(())
    }

    /// Leaves out quantities that single precision cannot resolve.
    pub fn excuse(&self, prefix: &str) {
        let names = self.tensors.keys().filter(|name| name.starts_with(prefix));
        self.excused.borrow_mut().extend(names.cloned());
    }

    /// Compares every recorded gradient under `prefix` with that of `tensor(name)`.
    pub fn check_gradients(
        &self,
        prefix: &str,
        gradients: &GradStore,
        tolerance: Tolerance,
        tensor: impl Fn(&str) -> Option<Tensor>,
    ) -> anyhow::Result<()> {
        for quantity in self.names() {
            let Some(name) = quantity.strip_prefix(prefix) else { continue };
            let with_respect_to =
                tensor(name).with_context(|| format!("{quantity}: no such input"))?;
            let Some(gradient) = gradients.get(&with_respect_to) else {
                bail!("{quantity}: no gradient arrives");
            };
            self.check_within(quantity, gradient, tolerance)?;
        }
        Ok(())
    }

    /// Everything compared, and expected values that were not.
    pub fn outcome(&self) -> (BTreeMap<String, Compared>, Vec<String>) {
        let compared = self.compared.borrow().clone();
        let expected = |name: &&str| {
            ["output", "grad", "after.", "final"].iter().any(|prefix| name.starts_with(prefix))
        };
        let left: Vec<String> = self
            .names()
            .into_iter()
            .filter(expected)
            .filter(|name| !compared.contains_key(*name))
            .filter(|name| !self.excused.borrow().contains(*name))
            .map(str::to_owned)
            .collect();
        (compared, left)
    }
}

/// max |x - y| / max(floor, max |y|), or max |x - y| for an infinite floor.
fn error(got: &Tensor, wanted: &Tensor, floor: f64) -> anyhow::Result<f64> {
    let flat = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (got, wanted) = (flat(got)?, flat(wanted)?);
    if got.len() != wanted.len() {
        bail!("{} numbers where {} are recorded", got.len(), wanted.len());
    }
    let mut largest = 0f64;
    for (g, w) in got.iter().zip(&wanted) {
        // What is recorded as undefined has to be.
        if g.is_nan() && w.is_nan() {
            continue;
        }
        let gap = (g - w).abs();
        // NaN must not pass: f64::max would drop it.
        if gap.is_nan() {
            return Ok(f64::NAN);
        }
        largest = largest.max(gap);
    }
    if floor.is_infinite() {
        return Ok(largest);
    }
    Ok(largest / wanted.iter().fold(floor, |scale, w| scale.max(w.abs())))
}
