//! Permutation tests of independence.
//!
//! If variables are independent, pairing their rows in another order gives data as likely as those at hand.
//! So the estimate is compared with those after random permutations of the rows of every variable but the
//! first:
//!
//! ```text
//! p = (1 + #{permutations with a value >= that of the data}) / (1 + permutations)
//! ```
//!
//! (Fisher 1935; Phipson and Smyth 2010 for the ones). Rejecting where p <= a is wrong with probability a at
//! most, for every law and every number of rows, whatever the estimator: a poor one finds less, but does not
//! find what is not there. With more than two variables independence of *all* is tested; p says nothing of
//! which of them go together. Rows have to be independent of each other: those of a time series are not.
//!
//! The smallest p is 1 / (1 + permutations), so a level a needs 1/a - 1 of them, and a times fewer tests
//! where several are corrected for: [`permutations_needed`].

use rayon::prelude::*;
use serde::Serialize;
use tcmax_ops::Seed;

use crate::error::{Error, Result};
use crate::sample::Sample;

/// What a permutation test finds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PermutationTest {
    /// The value of the data, nats.
    pub statistic: f64,
    /// The number of permutations.
    pub permutations: usize,
    /// How many of them had a value at least as large.
    pub at_least: usize,
    /// The p value.
    pub p_value: f64,
    /// The mean value of the permutations, nats: what independent variables with these marginals show.
    pub null_mean: f64,
    /// The standard deviation of the values of the permutations, nats.
    pub null_deviation: f64,
}

impl PermutationTest {
    /// The test of a value against those of permutations.
    ///
    /// # Errors
    /// When there is no permutation.
    pub fn of(statistic: f64, permuted: &[f64]) -> Result<Self> {
        if permuted.is_empty() {
            return Err(Error::Empty { what: "the list of permutations", unit: "permutation" });
        }
        // Sums of the same numbers in another order are equal but for rounding.
        let rounding = 1e-12 * (1.0 + statistic.abs());
        let at_least = permuted.iter().filter(|&&value| value >= statistic - rounding).count();
        let count = permuted.len() as f64;
        let null_mean = permuted.iter().sum::<f64>() / count;
        let squares: f64 = permuted.iter().map(|value| (value - null_mean).powi(2)).sum();
        Ok(Self {
            statistic,
            permutations: permuted.len(),
            at_least,
            p_value: (1 + at_least) as f64 / (1.0 + count),
            null_mean,
            null_deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
        })
    }
}

/// The fewest permutations with which p can be at most `level` after Bonferroni's, Holm's or Benjamini and
/// Hochberg's correction for so many tests.
///
/// ```
/// use tcmax_estimators::permutations_needed;
///
/// assert_eq!(permutations_needed(0.05, 1), 19);
/// // All pairs of ten columns.
/// assert_eq!(permutations_needed(0.05, 45), 899);
/// ```
pub fn permutations_needed(level: f64, tests: usize) -> usize {
    // 1/0.05 is 20 and not the next integer.
    ((tests.max(1) as f64 / level - 1.0) * (1.0 - 1e-12)).ceil().max(1.0) as usize
}

/// Tests whether the variables of a sample are independent, by any statistic that is large where they are
/// not: it is computed once and then for every permutation, in parallel. The same seed gives the same
/// permutations, for every number of threads.
///
/// ```
/// use tcmax_estimators::{Gaussian, Sample, Variable, permutation_test};
/// use tcmax_ops::Seed;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let unit = |i: u32, step: f64| (f64::from(i) * step).fract();
/// let a: Vec<f64> = (0..200).map(|i| unit(i, 0.754_877_666)).collect();
/// let b = (0..200).map(|i| a[i as usize] + 3.0 * unit(i, 0.569_840_290)).collect();
/// let sample =
///     Sample::new(vec![Variable::continuous("a", a, 1)?, Variable::continuous("b", b, 1)?])?;
/// let test = permutation_test(&sample, &Gaussian::information_of, 199, Seed::new(0))?;
/// assert_eq!((test.at_least, test.p_value), (0, 1.0 / 200.0));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is no permutation, or the statistic of the data or of a permutation is refused.
pub fn permutation_test(
    sample: &Sample,
    statistic: &(dyn Fn(&Sample) -> Result<f64> + Sync),
    permutations: usize,
    seed: Seed,
) -> Result<PermutationTest> {
    let of_data = statistic(sample)?;
    let seed = seed.stream("permutation test");
    let permuted = (0..permutations as u64)
        .into_par_iter()
        .map(|permutation| statistic(&sample.permuted(seed.index(permutation))))
        .collect::<Result<Vec<f64>>>()?;
    PermutationTest::of(of_data, &permuted)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::exact::{Gaussian, KsgConfig, ksg};
    use crate::sample::Variable;

    /// Two columns, or three, with a common part of a given weight.
    fn columns(count: usize, common: f64, rows: usize, seed: u64) -> Sample {
        let mut rng = Seed::new(seed).rng();
        let mut values = vec![Vec::new(); count];
        for _ in 0..rows {
            let shared: f64 = rng.random();
            values.iter_mut().for_each(|v| v.push(common * shared + rng.random::<f64>()));
        }
        let variable = |v| Variable::continuous("x", v, 1).unwrap();
        Sample::new(values.into_iter().map(variable).collect()).unwrap()
    }

    #[test]
    fn p_is_uniform_where_variables_are_independent_and_small_where_they_are_not() {
        let p = |common, draw| {
            let sample = columns(2, common, 60, draw);
            let test = permutation_test(&sample, &Gaussian::information_of, 19, Seed::new(draw));
            test.unwrap().p_value
        };
        let draws = 400;
        let null: Vec<f64> = (0..draws).map(|draw| p(0.0, draw)).collect();
        for level in [0.05, 0.25, 0.5] {
            let below = null.iter().filter(|&&p| p <= level + 1e-9).count() as f64;
            let expected = level * draws as f64;
            // Four standard deviations.
            let deviation = (expected * (1.0 - level)).sqrt();
            assert!((below - expected).abs() < 4.0 * deviation, "{below} of {expected}");
        }
        let found = (0..40).filter(|&draw| p(1.0, draw) <= 0.051).count();
        assert!(found >= 38, "{found}");
    }

    #[test]
    fn nearest_neighbours_find_what_has_no_correlation() {
        let x: Vec<f64> = columns(2, 0.0, 300, 1).variables()[0].values().to_vec();
        let noise = columns(2, 0.0, 300, 2).variables()[1].values().to_vec();
        let y = x.iter().zip(noise).map(|(x, e)| (x - 0.5).powi(2) + 0.1 * e).collect();
        let variables = [x, y].map(|v| Variable::continuous("v", v, 1).unwrap());
        let sample = Sample::new(variables.to_vec()).unwrap();
        let by = |statistic: &(dyn Fn(&Sample) -> Result<f64> + Sync)| {
            permutation_test(&sample, statistic, 99, Seed::new(1)).unwrap()
        };
        let neighbours = by(&|sample| ksg(sample, KsgConfig::default()));
        assert_eq!(neighbours.p_value, 0.01, "{neighbours:?}");
        assert!(neighbours.null_mean.abs() < 0.05 && neighbours.statistic > 0.3);
        assert!(by(&Gaussian::information_of).p_value > 0.02);
        // The same seed, the same permutations.
        assert_eq!(by(&Gaussian::information_of), by(&Gaussian::information_of));
    }

    #[test]
    fn several_variables_are_tested_together() {
        let p = |common| {
            let sample = columns(3, common, 100, 5);
            permutation_test(&sample, &Gaussian::information_of, 99, Seed::new(0)).unwrap().p_value
        };
        assert_eq!(p(1.0), 0.01);
        assert!(p(0.0) > 0.05, "{}", p(0.0));
    }

    #[test]
    fn ties_count_against_the_data_and_no_permutation_is_no_test() {
        let test = PermutationTest::of(0.5, &[0.5, 0.5 + 1e-15, 0.5 - 1e-15, 0.1]).unwrap();
        assert_eq!((test.at_least, test.p_value), (3, 0.8));
        let none = PermutationTest::of(0.5, &[]);
        assert!(matches!(none, Err(Error::Empty { .. })));
    }
}
