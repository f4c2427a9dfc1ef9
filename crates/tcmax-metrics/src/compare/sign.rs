//! The sign test: how often one is above the other.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF};

use crate::compare::pairs::Differences;

/// How often one method is above another, and whether that is more than chance. It assumes nothing of the
/// differences but independence, and needs many: six of six is p = 0.03.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignTest {
    /// Pairs in which the first value is the larger.
    pub above: u64,
    /// Pairs in which the second is; equal pairs are left out.
    pub below: u64,
    /// Two-sided p value, exact; 1 when all pairs are equal.
    pub p: f64,
}

impl SignTest {
    /// Of pairs (value, value of the other). `None` when there is no pair, or a value is not finite.
    ///
    /// ```
    /// use tcmax_metrics::SignTest;
    ///
    /// let test = SignTest::of(&[(2.0, 1.0), (3.0, 1.0), (1.0, 1.0), (5.0, 2.0)]).unwrap();
    /// assert_eq!((test.above, test.below, test.p), (3, 0, 0.25));
    /// ```
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let differences = Differences::of(pairs)?.values;
        let above = differences.iter().filter(|difference| **difference > 0.0).count() as u64;
        let below = differences.len() as u64 - above;
        Some(Self { above, below, p: fair_coin(above, below) })
    }
}

/// Up to so many throws the probabilities are summed; of more, the smallest is below what f64 has.
const MOST_SUMMED: u64 = 1000;

/// The probability that a fair coin falls as unevenly as this, or more so.
pub(crate) fn fair_coin(heads: u64, tails: u64) -> f64 {
    let (throws, fewer) = (heads + tails, heads.min(tails));
    if throws > MOST_SUMMED {
        // One half is a probability.
        let coin = Binomial::new(0.5, throws);
        return coin.map_or(f64::NAN, |coin| (2.0 * coin.cdf(fewer)).min(1.0));
    }
    // (throws choose k) / 2^throws for k = 0, ..., fewer.
    let (mut term, mut sum) = (0.5f64.powi(throws as i32), 0.0);
    for k in 0..=fewer {
        sum += term;
        term *= (throws - k) as f64 / (k + 1) as f64;
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_fair_coin() {
        // scipy 1.17.1: binomtest(2, 9), (15, 50), (300, 800), (2400, 5000).
        for (heads, throws, wanted) in [
            (2, 9, 0.1796875),
            (15, 50, 0.006600447966810918),
            (300, 800, 1.5263155581540037e-12),
            (2400, 5000, 0.004883649737517494),
        ] {
            for found in [fair_coin(heads, throws - heads), fair_coin(throws - heads, heads)] {
                assert!((found / wanted - 1.0).abs() < 1e-9, "{heads} of {throws}: {found}");
            }
        }
        assert_eq!((fair_coin(4, 4), fair_coin(0, 0)), (1.0, 1.0));
    }

    #[test]
    fn differences_within_rounding_are_none() {
        let test = SignTest::of(&[(0.1 + 0.2, 0.3), (1.0, 0.5)]).unwrap();
        assert_eq!((test.above, test.below), (1, 0));
        assert_eq!(SignTest::of(&[(1.0, f64::INFINITY)]), None);
    }
}
