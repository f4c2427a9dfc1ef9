//! Total correlation as a sum of mutual informations along a line or a tree.
//!
//! ```text
//! line:  TC(x_1, ..., x_n) = sum_{i=1}^{n-1} I(x_1, ..., x_i; x_{i+1})
//! tree:  TC(A) = TC(A_1) + TC(A_2) + I(A_1; A_2), A cut into halves A_1 and A_2 until single
//! ```
//!
//! Bai et al., "Estimating Total Correlation with Mutual Information Estimators" (AISTATS 2023). Exact
//! identities; of lower bounds the sum is a lower bound too. Each term has its own critic and its own cap,
//! so n - 1 fits take n - 1 times as long as the direct bound, can show (n - 1) log N nats as it can, and
//! add up the slack of n - 1 bounds.

use serde::Serialize;
use tcmax_ops::Seed;
use tcmax_registry::Options;

use super::config::CheckedConfig;
use super::outcome::Fit;
use super::run::fit_observed;
use crate::error::Result;
use crate::sample::Sample;
use crate::spec::{Cuts, EstimatorKind, EstimatorSpec};

const SOURCE: &str =
    "Bai et al., Estimating Total Correlation with Mutual Information Estimators (AISTATS 2023)";

/// The specification of sums along a line.
pub static LINE: EstimatorSpec = EstimatorSpec {
    name: "line",
    description: "total correlation as a sum of mutual informations, variables added one by one",
    source: SOURCE,
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Sum(line),
};

/// The specification of sums along a tree.
pub static TREE: EstimatorSpec = EstimatorSpec {
    name: "tree",
    description: "total correlation as a sum of mutual informations, variables halved again and again",
    source: SOURCE,
    lower_bound: true,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Sum(tree),
};

/// Variables 0, ..., n - 1 added one by one.
///
/// ```
/// assert_eq!(tcmax_estimators::fit::line(3), [(vec![0], vec![1]), (vec![0, 1], vec![2])]);
/// ```
pub fn line(n: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    (1..n).map(|i| ((0..i).collect(), vec![i])).collect()
}

/// Variables 0, ..., n - 1 halved until single.
///
/// ```
/// assert_eq!(tcmax_estimators::fit::tree(4)[0], (vec![0, 1], vec![2, 3]));
/// ```
pub fn tree(n: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut cuts = Vec::new();
    let mut groups = vec![(0..n).collect::<Vec<_>>()];
    while let Some(group) = groups.pop() {
        if group.len() > 1 {
            let (left, right) = group.split_at(group.len().div_ceil(2));
            cuts.push((left.to_vec(), right.to_vec()));
            groups.extend([right.to_vec(), left.to_vec()]);
        }
    }
    cuts
}

/// One mutual information of a decomposition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// The variables on one side, by number.
    pub left: Vec<usize>,
    /// The variables on the other.
    pub right: Vec<usize>,
    /// The estimate of I(left; right).
    pub fit: Fit,
}

/// A total correlation as a sum of mutual informations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decomposition {
    /// The sum of the held-out bounds, or 0 where that is negative, nats.
    pub value: f64,
    /// The sum of the held-out bounds itself, nats.
    pub held_out: f64,
    /// Standard error of the sum, nats; the fits share examples, so their errors are added, not the squares
    /// of these.
    pub standard_error: f64,
    /// The mutual informations.
    pub parts: Vec<Part>,
}

/// Estimates the total correlation of all variables as a sum, with the same division into training,
/// validation and test examples for all.
///
/// # Errors
/// As [`fit`](super::fit()).
pub fn decompose(
    sample: &Sample,
    cuts: Cuts,
    config: &CheckedConfig,
    seed: Seed,
) -> Result<Decomposition> {
    decompose_observed(sample, cuts, config, seed, &|_| {})
}

/// As [`decompose`], and calls `observe` as [`fit_observed`] does.
///
/// # Errors
/// As [`fit`](super::fit()).
pub fn decompose_observed(
    sample: &Sample,
    cuts: Cuts,
    config: &CheckedConfig,
    seed: Seed,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Decomposition> {
    let mut parts = Vec::new();
    for (left, right) in cuts(sample.variables().len()) {
        let fit = fit_observed(&sample.grouped(&[&left, &right])?, config, seed, observe)?;
        parts.push(Part { left, right, fit });
    }
    let held_out: f64 = parts.iter().map(|part| part.fit.held_out).sum();
    let standard_error = parts.iter().map(|part| part.fit.standard_error).sum();
    Ok(Decomposition { value: held_out.max(0.0), held_out, standard_error, parts })
}
