//! Mutual information of two variables from the counts of equally wide bins.
//!
//! ```text
//! I(a; b) = H(a) + H(b) - H(a, b)      (nats), H of the frequencies of bins
//! ```
//!
//! Biased upward, by about (bins - 1)^2 / 2N.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::{
    Computed, Direct, EstimatorKind, EstimatorSpec, JointTable, Result, Sample, Variable,
};
use tcmax_registry::{OptionSet, Options, Table, read, require};

/// The specification of the binned estimator.
pub static BINNED: EstimatorSpec = EstimatorSpec {
    name: "binned",
    description: "plug-in value of equally wide bins",
    source: "",
    lower_bound: false,
    pairs_only: true,
    options: Options::of::<BinnedOptions>(),
    kind: EstimatorKind::Direct(Direct { compute, operations: |rows, _| rows as f64 }),
};

/// Options of the binned estimator.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct BinnedOptions {
    /// Bins of each variable, 1 to 1000.
    bins: usize,
}

impl Default for BinnedOptions {
    fn default() -> Self {
        Self { bins: 12 }
    }
}

impl OptionSet for BinnedOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((1..=1000).contains(&self.bins), "bins", "must be 1 to 1000")
    }
}

fn compute(options: &Table, sample: &Sample) -> Result<Computed> {
    let BinnedOptions { bins } = read(options)?;
    let [a, b] = [0, 1].map(|v| bins_of(&sample.variables()[v], bins));
    let mut frequencies = vec![0.0; bins * bins];
    for (a, b) in a.iter().zip(&b) {
        frequencies[a * bins + b] += 1.0 / sample.len() as f64;
    }
    let table = JointTable::new(vec![bins, bins], frequencies)?;
    Ok(Computed::new(table.mutual_information(&[0], &[1])?))
}

/// The bin of every row, by the first column.
fn bins_of(variable: &Variable, bins: usize) -> Vec<usize> {
    let column = || variable.values().iter().step_by(variable.width());
    let low = column().copied().fold(f64::INFINITY, f64::min);
    let high = column().copied().fold(f64::NEG_INFINITY, f64::max);
    let bin = |x: &f64| (bins as f64 * (x - low) / (high - low)) as usize;
    column().map(|x| bin(x).min(bins - 1)).collect()
}
