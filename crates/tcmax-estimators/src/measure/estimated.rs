//! Measures from estimates of their mutual informations.

use rayon::prelude::*;
use serde::Serialize;

use super::terms::{Measure, Term};
use crate::error::Result;
use crate::estimate::{Estimate, estimate_observed};
use crate::fit::{CheckedConfig, line};
use crate::sample::Sample;

/// A measure of a sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The measure.
    pub measure: Measure,
    /// The sum of the terms, nats. Of fits the sum of their mean held-out bounds, which may be negative;
    /// only [`Measure::TotalCorrelation`] is cut off at 0 then, as an estimate is.
    pub value: f64,
    /// Whether the truth is at least the value: of the total correlation by a lower bound, and of nothing
    /// else, as a difference of bounds is none.
    pub is_lower_bound: bool,
    /// The sum of the terms' standard errors, nats: terms share examples, so their errors are added, not the
    /// squares of these. None without fits.
    pub standard_error: Option<f64>,
    /// 95% interval, nats; none without fits: from the least to the most that the terms add up to, each between its
    /// bounds on held-out and on training examples (or what neighbours show, if it is more), and 1.96 standard errors.
    pub interval: Option<[f64; 2]>,
    /// Standard deviation between seeds, nats; none for one seed.
    pub spread: Option<f64>,
    /// The measure by each seed, nats; empty without fits.
    pub seed_values: Vec<f64>,
    /// What was added up.
    pub terms: Vec<EstimatedTerm>,
    /// What casts doubt on the terms, a sentence each.
    pub warnings: Vec<String>,
}

/// One estimate in a sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EstimatedTerm {
    /// What it is multiplied by.
    pub weight: f64,
    /// The names of the groups of variables.
    pub groups: Vec<String>,
    /// The estimate of what they share.
    pub estimate: Estimate,
}

impl Measured {
    fn of(measure: Measure, terms: Vec<EstimatedTerm>, is_lower_bound: bool) -> Self {
        let sum = |of: &dyn Fn(&Estimate) -> f64| -> f64 {
            terms.iter().map(|term| term.weight * of(&term.estimate)).sum()
        };
        let seeds = terms.first().map_or(0, |term| term.estimate.seed_values.len());
        let seed_values: Vec<f64> = (0..seeds).map(|s| sum(&|e| e.seed_values[s])).collect();
        let mean = seed_values.iter().sum::<f64>() / seeds as f64;
        let value = match (seeds, is_lower_bound) {
            (0, _) => sum(&Estimate::held_out),
            (_, true) => mean.max(0.0),
            (_, false) => mean,
        };
        let errors = terms.iter().map(|t| Some(t.weight.abs() * t.estimate.standard_error?));
        let standard_error = errors.sum::<Option<f64>>();
        let least = if is_lower_bound { 0.0 } else { f64::NEG_INFINITY };
        let ends = |term: &EstimatedTerm| {
            let Estimate { fits, .. } = &term.estimate;
            let held_out = term.estimate.held_out();
            let optimism: f64 = fits.iter().map(|fit| fit.training - fit.held_out).sum();
            let highest = held_out + (optimism / seeds as f64).max(0.0);
            let highest = term.estimate.neighbours.map_or(highest, |value| value.max(highest));
            let mut ends = [held_out, highest].map(|bound| term.weight * bound);
            ends.sort_by(f64::total_cmp);
            ends
        };
        let all = terms.iter().map(ends);
        let [low, high] = all.fold([0.0, 0.0], |[l, h], [low, high]| [l + low, h + high]);
        let interval = standard_error
            .map(|error| [low - 1.96 * error, high + 1.96 * error].map(|end| end.max(least)));
        let squares: f64 = seed_values.iter().map(|value| (value - mean).powi(2)).sum();
        let spread = (seeds > 1).then(|| (squares / (seeds as f64 - 1.0)).sqrt());
        let mut warnings: Vec<String> = Vec::new();
        for term in &terms {
            let of_term = |warning: &String| format!("I({}): {warning}", term.groups.join("; "));
            warnings.extend(term.estimate.warnings.iter().map(of_term));
        }
        Self {
            measure,
            value,
            is_lower_bound,
            standard_error,
            interval,
            spread,
            seed_values,
            terms,
            warnings,
        }
    }
}

/// Estimates a measure of the variables of a sample that are not `given`, nats: every mutual information of
/// [`Measure::terms`] with the estimator of `config`, from the same seeds, and their sum.
///
/// Estimators of two variables are enough: with them the total correlation is a sum along a line.
///
/// ```
/// use tcmax_estimators::fit::FitConfig;
/// use tcmax_estimators::{Measure, Sample, Variable, estimate_measure, estimators};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two bits and whether they differ: synergy, and nothing else.
/// let bit = |i: u32, shift: u32| f64::from(i >> shift & 1);
/// let class = |name, of: &dyn Fn(u32) -> f64| {
///     Variable::categorical(name, &(0..400).map(of).collect::<Vec<_>>())
/// };
/// let variables = vec![
///     class("a", &|i| bit(i, 0))?,
///     class("b", &|i| bit(i, 1))?,
///     class("differ", &|i| bit(i, 0) + bit(i, 1) - 2.0 * bit(i, 0) * bit(i, 1))?,
/// ];
/// let config = FitConfig { estimator: estimators().get("counts")?, ..FitConfig::default() };
/// let sample = Sample::new(variables)?;
/// let found =
///     estimate_measure(&sample, Measure::OInformation, &[], &config.check()?, &[0], &|_| {})?;
/// assert!((found.value + 2f64.ln()).abs() < 0.01, "{}", found.value);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Measure::terms`] and [`estimate`](crate::estimate()).
pub fn estimate_measure(
    sample: &Sample,
    measure: Measure,
    given: &[usize],
    config: &CheckedConfig,
    seeds: &[u64],
    observe: &(dyn Fn(usize) + Sync),
) -> Result<Measured> {
    let variables: Vec<usize> =
        (0..sample.variables().len()).filter(|variable| !given.contains(variable)).collect();
    let estimator = config.config().estimator;
    let mut terms = measure.terms(&variables, given)?;
    if estimator.pairs_only {
        terms = terms.iter().flat_map(in_pairs).collect();
    }
    let of_term = |term: &Term| {
        let groups: Vec<&[usize]> = term.groups.iter().map(Vec::as_slice).collect();
        let grouped = sample.grouped(&groups)?;
        let groups = grouped.variables().iter().map(|v| v.name().to_owned()).collect();
        let estimate = estimate_observed(&grouped, config, seeds, observe)?;
        Ok(EstimatedTerm { weight: term.weight, groups, estimate })
    };
    // In the order of the terms, for every number of threads.
    let estimated = terms.par_iter().map(of_term).collect::<Result<Vec<_>>>()?;
    let is_sum = terms.iter().all(|term| term.weight > 0.0);
    Ok(Measured::of(measure, estimated, is_sum && estimator.lower_bound))
}

/// A term of several variables as terms of two groups each.
fn in_pairs(term: &Term) -> Vec<Term> {
    let of_cut = |(left, right): (Vec<usize>, Vec<usize>)| {
        let members = |cut: &[usize]| cut.iter().flat_map(|&i| term.groups[i].clone()).collect();
        Term { weight: term.weight, groups: vec![members(&left), members(&right)] }
    };
    line(term.groups.len()).into_iter().map(of_cut).collect()
}
