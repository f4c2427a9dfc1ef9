//! Estimates with what else users ask of them: a permutation test, and a value for every row.

use rayon::prelude::*;
use tcmax_ops::Seed;

use crate::error::{Error, Result};
use crate::estimate::{Estimate, OfSeed, estimate_observed};
use crate::fit::{CheckedConfig, Detailed, Wanted, fit_detailed};
use crate::permutation::{PermutationTest, permutation_test};
use crate::sample::Sample;
use crate::spec::EstimatorKind;

/// An estimate and what else was wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct DetailedEstimate {
    /// The estimate.
    pub estimate: Estimate,
    /// The permutation test: of estimators that train critics with the critic of the first seed.
    pub permutation_test: Option<PermutationTest>,
    /// The value of every row.
    pub pointwise: Option<Vec<Pointwise>>,
}

/// What one row contributes to an estimate: about log p(x_1, ..., x_n) / (p(x_1) ... p(x_n)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pointwise {
    /// Nats; with fits the mean over the seeds in whose test split the row is. None for rows that were left
    /// out, or in no test split: a critic's value on rows that it was trained on says nothing.
    pub value: Option<f64>,
    /// How many seeds had the row in their test split; 1 without fits, 0 where there is no value. The mean of
    /// the values, weighted with this, is the estimate before it is cut off at 0.
    pub seeds: usize,
}

/// As [`estimate_observed`], and what else is wanted. Where nothing is trained, the data are one step to
/// `observe`, and so is every permutation.
///
/// ```
/// use tcmax_estimators::fit::{FitConfig, Wanted};
/// use tcmax_estimators::{Sample, Variable, estimate_detailed, estimators};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let unit = |i: u32, step: f64| (f64::from(i) * step).fract();
/// let a: Vec<f64> = (0..200).map(|i| unit(i, 0.754_877_666)).collect();
/// let b = (0..200).map(|i| a[i as usize] + unit(i, 0.569_840_290)).collect();
/// let sample =
///     Sample::new(vec![Variable::continuous("a", a, 1)?, Variable::continuous("b", b, 1)?])?;
/// let config = FitConfig { estimator: estimators().get("gaussian")?, ..FitConfig::default() };
/// let wanted = Wanted { permutations: 99, pointwise: true };
/// let found = estimate_detailed(&sample, &config.check()?, &[0], wanted, &|_| {})?;
/// assert_eq!(found.permutation_test.map(|test| test.p_value), Some(0.01));
/// let rows = found.pointwise.unwrap_or_default();
/// let mean = rows.iter().filter_map(|row| row.value).sum::<f64>() / 200.0;
/// assert!((mean - found.estimate.value).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`estimate`](crate::estimate()), and when the estimator adds up fits: each has a critic of its own,
/// and none speaks for all variables.
pub fn estimate_detailed(
    sample: &Sample,
    config: &CheckedConfig,
    seeds: &[u64],
    wanted: Wanted,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<DetailedEstimate> {
    let estimator = config.config().estimator;
    estimator.check(sample.variables().len())?;
    match estimator.kind {
        _ if wanted == Wanted::default() => {
            let estimate = estimate_observed(sample, config, seeds, observe)?;
            Ok(DetailedEstimate { estimate, permutation_test: None, pointwise: None })
        }
        EstimatorKind::Sum(_) => Err(Error::Setting {
            field: "estimator",
            problem: format!(
                "'{estimator}' adds up several critics, and none gives p values or values of rows; use \
                 tcne, ksg or gaussian"
            ),
        }),
        EstimatorKind::Direct(direct) => {
            let options = &config.config().options;
            let computed = (direct.compute)(options, sample)?;
            let pointwise = match (wanted.pointwise, &computed.pointwise) {
                (false, _) => None,
                (true, Some(values)) => {
                    Some(values.iter().copied().map(Pointwise::of_row).collect())
                }
                (true, None) => {
                    let problem = format!("'{estimator}' has no values of single rows");
                    return Err(Error::Setting { field: "estimator", problem });
                }
            };
            let statistic = |sample: &Sample| -> Result<f64> {
                // Whoever ends the work in `observe` does so before the next permutation is computed.
                observe(0);
                let computed = (direct.compute)(options, sample)?;
                observe(1);
                Ok(computed.value)
            };
            let seed = Seed::new(seeds.first().copied().unwrap_or(0));
            let test = (wanted.permutations > 0)
                .then(|| permutation_test(sample, &statistic, wanted.permutations, seed))
                .transpose()?;
            if test.is_none() {
                observe(1);
            }
            let estimate = Estimate::computed(computed);
            Ok(DetailedEstimate { estimate, permutation_test: test, pointwise })
        }
        EstimatorKind::Critic(_) => {
            let of_seed = |(i, &seed): (usize, &u64)| {
                let permutations = if i == 0 { wanted.permutations } else { 0 };
                let wanted = Wanted { permutations, ..wanted };
                fit_detailed(sample, config, Seed::new(seed), wanted, observe)
            };
            // In parallel, but collected in the order of the seeds.
            let fits = seeds.par_iter().enumerate().map(of_seed).collect::<Result<Vec<_>>>()?;
            let pointwise = wanted.pointwise.then(|| of_rows(sample.len(), &fits));
            let permutation_test = fits.first().and_then(|fit| fit.permutation_test);
            let of_seeds = fits.into_iter().map(|detailed| OfSeed::of_fit(detailed.fit)).collect();
            let estimate = Estimate::together(of_seeds)?.beside_neighbours(sample, estimator);
            Ok(DetailedEstimate { estimate, permutation_test, pointwise })
        }
    }
}

/// A permutation test that trains a critic per permutation, with one seed: the statistic is the held-out
/// bound. It costs a fit per permutation, and one for the data: 1,000 permutations of a fit of ten seconds are
/// three hours of one thread. [`estimate_detailed`] keeps the critic instead and takes seconds.
///
/// # Errors
/// As [`permutation_test`] and [`estimate`](crate::estimate()).
pub fn retrained_permutation_test(
    sample: &Sample,
    config: &CheckedConfig,
    permutations: usize,
    seed: u64,
    observe: &(dyn Fn(usize) + Sync),
) -> Result<PermutationTest> {
    let statistic = |sample: &Sample| -> Result<f64> {
        let estimate = estimate_observed(sample, config, &[seed], observe)?;
        // Not cut off at 0, where all values would be equal.
        Ok(estimate.held_out())
    };
    permutation_test(sample, &statistic, permutations, Seed::new(seed))
}

impl Pointwise {
    fn of_row(value: Option<f64>) -> Self {
        Self { value, seeds: usize::from(value.is_some()) }
    }
}

/// The mean of every row over the fits that tested on it.
fn of_rows(rows: usize, fits: &[Detailed]) -> Vec<Pointwise> {
    let (mut sums, mut seeds) = (vec![0.0; rows], vec![0usize; rows]);
    for &(row, value) in fits.iter().filter_map(|fit| fit.pointwise.as_ref()).flatten() {
        sums[row] += value;
        seeds[row] += 1;
    }
    let mean = |(sum, seeds): (f64, usize)| Pointwise {
        value: (seeds > 0).then(|| sum / seeds as f64),
        seeds,
    };
    sums.into_iter().zip(seeds).map(mean).collect()
}
