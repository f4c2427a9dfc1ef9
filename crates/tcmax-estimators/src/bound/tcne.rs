//! TCNE: the Donsker-Varadhan bound on the total correlation of any number of variables.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, Options, read};

use super::mine::{DonskerVaradhan, check_rate};
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The specification of TCNE.
pub static TCNE: EstimatorSpec = EstimatorSpec {
    name: "tcne",
    description: "Donsker-Varadhan bound on the total correlation of all variables",
    source: "Multimodal Classification via Total Correlation Maximization (ICLR 2026)",
    lower_bound: true,
    pairs_only: false,
    options: Options::of::<TcneOptions>(),
    kind: EstimatorKind::Critic(|options| {
        let TcneOptions { moving_average } = read(options)?;
        Ok(Box::new(DonskerVaradhan::new(moving_average)?))
    }),
};

/// Options of TCNE.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TcneOptions {
    /// Weight of the newest batch in the moving average of the product term that gradients are divided
    /// by, above 0 and at most 1; 1 divides by the mean of the batch alone.
    pub moving_average: f64,
}

impl Default for TcneOptions {
    fn default() -> Self {
        Self { moving_average: 1.0 }
    }
}

impl OptionSet for TcneOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        check_rate(self.moving_average)
    }
}
