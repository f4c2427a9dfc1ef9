//! The list of optimisers.

use serde::{Deserialize, Serialize};
use tcmax_registry::{Catalogue, Table};

use crate::training::optimise::adam::ADAM;
use crate::training::optimise::adamw::ADAMW;
use crate::training::optimise::sgd::SGD;
use crate::training::optimise::spec::OptimiserSpec;

/// The built-in optimisers, in the order to list them.
pub static OPTIMISERS: [&OptimiserSpec; 3] = [&SGD, &ADAM, &ADAMW];

/// A catalogue of the built-in optimisers, to which others can be added.
pub fn optimisers() -> Catalogue<OptimiserSpec> {
    Catalogue::new("optimiser", &OPTIMISERS)
}

/// An optimiser as configuration files name it: its name and, beside it, its options.
///
/// ```
/// use tcmax_ops::{OptimiserConfig, optimisers};
///
/// let config: OptimiserConfig = toml::from_str("name = 'adamw'\nlearning-rate = 3e-4").unwrap();
/// let options = optimisers().get(&config.name)?.options.complete(&config.options)?;
/// assert_eq!(options["beta2"].as_float(), Some(0.999));
/// # Ok::<(), tcmax_registry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OptimiserConfig {
    /// Its name.
    pub name: String,
    /// Its options.
    #[serde(flatten)]
    pub options: Table,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self { name: SGD.name.to_owned(), options: Table::new() }
    }
}
