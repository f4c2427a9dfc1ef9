//! Nearest-neighbour estimates of information (KSG), for variables of few dimensions of any kind.
//!
//! ```text
//! TC = psi(k) + (n - 1) psi(N) - 1/N sum_i sum_m psi(c_m(i) + 1)                      (nats)
//! ```
//!
//! with c_m(i) the number of examples strictly closer to example i in variable m than its k-th nearest
//! neighbour is in all variables together, distances being maxima over coordinates. Kraskov, Stoegbauer
//! and Grassberger (2004), algorithm 1, in its form for n variables (equation 23). Not a bound: nearly
//! unbiased where the density is smooth, too small where information is high or dimensions are many.
//! Where dimensions are few, time is about O(N log N), where they are many O(N^2 D); memory is O(N D).
//!
//! *Classes* are never distances: two rows of different classes are infinitely far apart, those of one
//! class at distance 0. Neighbours are then those within the class, as Ross (2014) has it, and c_m + 1 of
//! a categorical variable is the size of the class; in a class of fewer than k + 1 rows k is smaller, and
//! rows that are alone in theirs are left out. What several categorical variables share with each other
//! comes from counts (the psi estimator that the formula becomes, less what chance shows of rare classes),
//! and so does everything where all variables are categorical. Columns of numbers with at most ten distinct
//! ones, each ten times on average, count as classes too.
//!
//! *Ties* of numbers, as rounding and counting make them, break the formula: neighbours at one distance
//! cannot be told apart, and information is found that is not there. The estimator of Gao, Kannan, Oh and
//! Viswanath (2017) counts ties, but only those at distance 0; on independent Poisson counts of mean 100 it
//! still shows 0.3 nats with 1,000 rows. Here each repeated number is moved at random within the gap
//! between its neighbours. Where it moved to determines the number, and the move carries no other information, so
//! the information is exactly what it was, and the density has no steps. A few numbers that repeat among many
//! that do not (no rain, a sensor at its limit) are points in a density: which of them an example has, or none, is
//! a class of its own, so that they are no neighbours of the others.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::Seed;
use tcmax_registry::{OptionSet, Options, Table, read, require};

use super::plug_in::{States, digamma_table, standard_error, total_correlation};
use super::points::{Seen, Trees};
use crate::error::{Error, Result};
use crate::sample::Sample;
use crate::spec::{Computed, Direct, EstimatorKind, EstimatorSpec};

/// The specification of nearest neighbours.
pub static KSG: EstimatorSpec = EstimatorSpec {
    name: "ksg",
    description: "nearest neighbours of numbers, counts of classes, and both together",
    source: "Kraskov, Stoegbauer and Grassberger, Estimating mutual information (2004)",
    lower_bound: false,
    pairs_only: false,
    options: Options::of::<KsgOptions>(),
    kind: EstimatorKind::Direct(Direct { compute, operations }),
};

/// Options of nearest neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KsgOptions {
    /// The neighbour whose distance counts, at least 1; small means small bias and large variance.
    pub neighbours: usize,
}

impl Default for KsgOptions {
    fn default() -> Self {
        Self { neighbours: KsgConfig::default().neighbours }
    }
}

impl OptionSet for KsgOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.neighbours > 0, "neighbours", "must be at least 1")
    }
}

fn compute(options: &Table, sample: &Sample) -> Result<Computed> {
    let KsgOptions { neighbours } = read(options)?;
    let config = KsgConfig { neighbours, ..KsgConfig::default() };
    let (found, of_rows) = with_rows(sample, config)?;
    let left_out = found.left_out;
    let warning = format!("{left_out} rows were left out: they are alone in their class");
    let warnings = Vec::from_iter((left_out > 0).then_some(warning));
    Ok(Computed { warnings, ..Computed::new(found.value) }.with_rows(of_rows))
}

/// The distances of every row to those that the boxes of the trees do not exclude.
fn operations(rows: usize, columns: &[usize]) -> f64 {
    let (rows, all) = (rows as f64, columns.iter().sum::<usize>() as f64);
    let seen = rows.min(60.0 * rows.log2() * 1.8f64.powf(all));
    8.0 * rows * seen * (all + 4.0 * columns.len() as f64)
}

/// Settings of [`ksg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KsgConfig {
    /// The neighbour whose distance counts; small means small bias and large variance.
    pub neighbours: usize,
    /// What repeated numbers are moved by, and rows of classes are shuffled by. Without either nothing is
    /// drawn.
    pub seed: Seed,
}

impl Default for KsgConfig {
    /// Three, as Kraskov et al. recommend 2 to 4.
    fn default() -> Self {
        Self { neighbours: 3, seed: Seed::new(0) }
    }
}

/// An estimate by nearest neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestNeighbours {
    /// The estimate, nats; may be negative.
    pub value: f64,
    /// The standard error of the mean over the terms of single rows, nats: a rough measure, which does not
    /// include the bias.
    pub standard_error: f64,
    /// Rows that were left out because they are alone in their class.
    pub left_out: usize,
}

/// The estimate of the total correlation of all variables (for two: their mutual information), nats.
/// Every coordinate is scaled to unit variance first.
///
/// ```
/// use tcmax_estimators::{Sample, Variable, ksg};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // x lies in one of two intervals, as the class tells: log 2.
/// let unit = |i: u32| (f64::from(i) * 0.618_033_988_7).fract();
/// let x = (0..400).map(|i| unit(i) + f64::from(5 * (i % 2))).collect();
/// let class: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
/// let variables = vec![Variable::continuous("x", x, 1)?, Variable::categorical("class", &class)?];
/// let value = ksg(&Sample::new(variables)?, Default::default())?;
/// assert!((value - 2f64.ln()).abs() < 0.02, "{value}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there are not more examples than neighbours, or classes are too rare.
pub fn ksg(sample: &Sample, config: KsgConfig) -> Result<f64> {
    Ok(nearest_neighbours(sample, config)?.value)
}

/// As [`ksg`], with its standard error.
///
/// # Errors
/// As [`ksg`].
pub fn nearest_neighbours(sample: &Sample, config: KsgConfig) -> Result<NearestNeighbours> {
    Ok(with_rows(sample, config)?.0)
}

/// The estimate, and what every row contributes up to a constant; rows alone in their class nothing.
fn with_rows(sample: &Sample, config: KsgConfig) -> Result<(NearestNeighbours, Vec<Option<f64>>)> {
    let (n, k) = (sample.len(), config.neighbours);
    if k == 0 {
        let problem = "at least 1 neighbour is needed".to_owned();
        return Err(Error::Setting { field: "neighbours", problem });
    }
    if n <= k {
        let purpose = "this many nearest neighbours";
        return Err(Error::TooFewSamples { got: n, wanted: k + 1, purpose });
    }
    let psi = digamma_table(n);
    let seed = |variable: usize| config.seed.stream("ties").index(variable as u64);
    let variables = sample.variables().iter().enumerate();
    let variables: Vec<Seen> = variables.map(|(i, v)| Seen::new(v, seed(i))).collect();
    let discrete: Vec<States> = variables.iter().filter_map(|v| v.states.clone()).collect();
    let (of_counts, counts_error) =
        total_correlation(&discrete, &psi, config.seed.stream("chance"))?;
    let all: Vec<&States> = discrete.iter().collect();
    let joint = States::joint(&all, n);
    let of_classes = |row: usize| {
        psi[joint.count(row)] - discrete.iter().map(|v| psi[v.count(row)]).sum::<f64>()
    };
    if variables.iter().all(|v| v.width == 0) {
        let (value, standard_error) = (of_counts, counts_error);
        let of_rows = (0..n).map(|row| Some(of_classes(row))).collect();
        return Ok((NearestNeighbours { value, standard_error, left_out: 0 }, of_rows));
    }
    let kept: Vec<usize> = (0..n).filter(|&row| joint.count(row) > 1).collect();
    if kept.len() <= k || 2 * kept.len() < n {
        let purpose =
            "nearest neighbours within a class (of the rows, those not alone in their class)";
        let wanted = (n / 2).max(k + 1);
        return Err(Error::TooFewSamples { got: kept.len(), wanted, purpose });
    }
    let variables: Vec<Seen> = variables.iter().map(|v| v.in_rows(&kept)).collect();
    let terms = terms(&variables, &joint.in_rows(&kept), k, &psi);
    let found = NearestNeighbours {
        value: of_counts + terms.iter().sum::<f64>() / kept.len() as f64,
        standard_error: standard_error(terms.iter().copied()).hypot(counts_error),
        left_out: n - kept.len(),
    };
    let mut of_rows = vec![None; n];
    for (&row, term) in kept.iter().zip(terms) {
        // One variable with classes shares nothing with itself.
        let shared = if discrete.len() > 1 { of_classes(row) } else { 0.0 };
        of_rows[row] = Some(term + shared);
    }
    Ok((found, of_rows))
}

/// The term of each row beyond those of the counts of classes. In order, so that their sum has the same bits
/// for every number of threads.
fn terms(variables: &[Seen], joint: &States, k: usize, psi: &[f64]) -> Vec<f64> {
    let n = joint.rows();
    let categorical = variables.iter().filter(|v| v.states.is_some()).count();
    let whole = (variables.len() - categorical) as f64 * psi[n];
    let together = Trees::new(variables, joint);
    let alone: Vec<Option<Trees>> = variables
        .iter()
        .map(|v| {
            let states = v.states.clone().unwrap_or_else(|| States::joint(&[], n));
            (v.width > 0).then(|| Trees::new(std::slice::from_ref(v), &states))
        })
        .collect();
    let of_row = |i: usize| {
        let k = k.min(joint.count(i) - 1);
        // The nearest of all is the example itself.
        let radius = together.of(i).kth_nearest(together.point(i), k + 1);
        // Ties that remain after numbers were moved are counted, as Gao et al. do.
        let k = match radius > 0.0 {
            true => k,
            false => together.of(i).count_inside(together.point(i), 0.0),
        };
        let of_variable = |(v, trees): (&Seen, &Option<Trees>)| {
            let in_class = v.states.as_ref().map(|states| states.count(i));
            let around = match trees {
                Some(trees) => trees.of(i).count_inside(trees.point(i), radius),
                // All of a class are at no distance from each other.
                None => in_class.unwrap_or(n),
            };
            in_class.map_or(0.0, |count| psi[count]) - psi[around]
        };
        let sum: f64 = variables.iter().zip(&alone).map(of_variable).sum();
        psi[k] - psi[joint.count(i)] + whole + sum
    };
    (0..n).into_par_iter().map(of_row).collect()
}
