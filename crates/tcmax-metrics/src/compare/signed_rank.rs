//! The signed-rank test (Wilcoxon 1945).

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::compare::pairs::{Differences, mean_ranks};

/// Above so many pairs the normal approximation is used.
const MOST_EXACT: usize = 50;

/// Wilcoxon's signed-rank test of pairs: are the differences symmetric about 0?
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignedRank {
    /// Pairs that differ; equal ones are left out.
    pub pairs: u64,
    /// The sum of the ranks of the positive differences, by their absolute values; ties share their mean rank.
    pub positive: f64,
    /// That of the negative ones.
    pub negative: f64,
    /// Two-sided p value; 1 when all pairs are equal.
    pub p: f64,
    /// Whether p is exact, counted over all assignments of signs (also with ties), as it is up to 50 pairs;
    /// else it is that of the normal approximation, corrected for ties.
    pub exact: bool,
}

impl SignedRank {
    /// Of pairs (value, value of the other). `None` when there is no pair, or a value is not finite.
    ///
    /// ```
    /// use tcmax_metrics::SignedRank;
    ///
    /// let pairs = [(5.0, 4.0), (9.0, 7.0), (3.0, 0.0), (4.0, 8.0)]; // 1, 2, 3, -4
    /// let test = SignedRank::of(&pairs).unwrap();
    /// assert_eq!((test.positive, test.negative), (6.0, 4.0));
    /// assert_eq!(test.p, 0.875); // 7 of the 16 assignments of signs have a sum of at least 6
    /// ```
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let Differences { values, rounding } = Differences::of(pairs)?;
        let sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
        let (ranks, groups) = mean_ranks(&sizes, rounding);
        let all: f64 = ranks.iter().sum();
        let positive: f64 = values
            .iter()
            .zip(&ranks)
            .filter(|(value, _)| **value > 0.0)
            .map(|(_, rank)| rank)
            .sum();
        let exact = values.len() <= MOST_EXACT;
        let p = if exact { exact_p(&ranks, positive) } else { normal_p(&groups, positive) };
        Some(Self { pairs: values.len() as u64, positive, negative: all - positive, p, exact })
    }
}

/// By counting: the sums over all subsets of the ranks, in halves, which ties leave.
fn exact_p(ranks: &[f64], positive: f64) -> f64 {
    let halves: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
    let largest: usize = halves.iter().sum();
    // counts[s]: subsets with the sum s. At most 2^50 in all, which f64 has exactly.
    let mut counts = vec![0.0f64; largest + 1];
    counts[0] = 1.0;
    let mut reached = 0;
    for half in halves {
        reached += half;
        for sum in (half..=reached).rev() {
            counts[sum] += counts[sum - half];
        }
    }
    let observed = (2.0 * positive) as usize;
    let low: f64 = counts[..=observed].iter().sum();
    let high: f64 = counts[observed..].iter().sum();
    (2.0 * low.min(high) / 2f64.powi(ranks.len() as i32)).min(1.0)
}

/// By the normal distribution, with the variance that ties leave; without correction for continuity.
fn normal_p(groups: &[usize], positive: f64) -> f64 {
    let n = groups.iter().sum::<usize>() as f64;
    let ties: f64 = groups.iter().map(|size| *size as f64).map(|size| size.powi(3) - size).sum();
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let z = (positive - n * (n + 1.0) / 4.0) / variance.sqrt();
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_differences(differences: &[f64]) -> SignedRank {
        let pairs: Vec<(f64, f64)> = differences.iter().map(|d| (*d, 0.0)).collect();
        SignedRank::of(&pairs).unwrap()
    }

    #[test]
    fn ties_and_zeros_are_exact() {
        let test = of_differences(&[3.0, -1.0, 2.0, 2.0, 0.0, 5.0, -2.0, 4.0, 1.0, 1.0]);
        // Counted over all 2^9 assignments of signs in Python.
        assert_eq!((test.pairs, test.positive, test.negative), (9, 38.0, 7.0));
        assert_eq!((test.p, test.exact), (0.08203125, true));
        // 0.905 - 0.899 and 0.893 - 0.887 tie, though their last bits differ.
        let first = [0.912, 0.905, 0.931, 0.887, 0.921, 0.899, 0.915];
        let second = [0.901, 0.899, 0.915, 0.893, 0.905, 0.880, 0.914];
        let pairs: Vec<(f64, f64)> = first.into_iter().zip(second).collect();
        let test = SignedRank::of(&pairs).unwrap();
        assert_eq!((test.positive, test.negative, test.p), (25.5, 2.5, 0.0625));
    }

    #[test]
    fn many_pairs_are_approximated() {
        let differences: Vec<f64> = (0..60).map(|i| f64::from((i * 37) % 61 - 22) / 7.0).collect();
        let test = of_differences(&differences);
        // scipy 1.17.1: wilcoxon(x, method="approx", correction=False).
        assert_eq!(test.positive.min(test.negative), 474.5);
        assert!((test.p - 0.0019438757088864145).abs() < 1e-12 && !test.exact);
    }

    #[test]
    fn equal_pairs_show_nothing() {
        let test = of_differences(&[0.0, 0.0]);
        assert_eq!((test.pairs, test.p), (0, 1.0));
        assert_eq!(SignedRank::of(&[]), None);
        // The least p of five seeds.
        assert_eq!(of_differences(&[1.0, 2.0, 3.0, 4.0, 5.0]).p, 0.0625);
    }
}
