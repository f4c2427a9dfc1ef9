//! What an optimiser is chosen by: its specification.

use std::fmt;

use tcmax_registry::{Options, Spec, Table};

use crate::error::Result;
use crate::training::optimise::any::AnyOptimiser;
use crate::training::params::Params;

/// The specification of an optimiser: a constant in the optimiser's file.
pub struct OptimiserSpec {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// One line on what it does.
    pub description: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Its options; all have `learning-rate`.
    pub options: Options,
    /// Makes the optimiser: (options, parameters).
    pub make: fn(&Table, &Params) -> Result<Box<dyn AnyOptimiser>>,
}

impl OptimiserSpec {
    /// Builds the optimiser of some parameters.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use tcmax_ops::{Init, ParamBuilder, Seed, optimisers};
    ///
    /// # fn main() -> tcmax_ops::Result<()> {
    /// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    /// let p = builder.pp("encoder").param("p", 1, Init::Const(1.0))?;
    /// let options = toml::toml! {
    ///     learning-rate = 0.5
    ///     nesterov = true
    /// };
    /// let mut optimiser = optimisers().get("sgd")?.build(&options, &builder.params())?;
    /// optimiser.set_frozen("encoder", true)?;
    /// optimiser.step(&p.sqr()?.sum_all()?.backward()?)?;
    /// assert_eq!(p.to_vec1::<f64>()?, [1.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When an option does not exist or is out of range.
    pub fn build(&self, options: &Table, params: &Params) -> Result<Box<dyn AnyOptimiser>> {
        (self.make)(options, params)
    }
}

impl Spec for OptimiserSpec {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for OptimiserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
