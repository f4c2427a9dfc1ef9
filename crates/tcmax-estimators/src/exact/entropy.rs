//! Entropy of a discrete variable from how often its states were counted, nats.
//!
//! With N rows, of which n_i have state i, and K_1 states seen:
//!
//! ```text
//! plug-in         H = log N - 1/N sum_i n_i log n_i
//! Miller-Madow    H = plug-in + (K_1 - 1) / 2N                                   (Miller 1955)
//! Grassberger     H = log N - 1/N sum_i n_i G(n_i)                               (Grassberger 2003)
//!                 G(n) = psi(n) + (-1)^n / 2 (psi((n + 1) / 2) - psi(n / 2))
//! Chao-Shen       H = - sum_i q_i log q_i / (1 - (1 - q_i)^N),  q_i = C n_i / N  (Chao and Shen 2003)
//!                 C = 1 - f_1 / N, with f_1 states seen once (Good 1953)
//! NSB             the posterior mean of H under a prior that is nearly flat in H (see the module `nsb`)
//! ```
//!
//! The plug-in value is too small by about (K - 1) / 2N of K states, since a sample looks less even than
//! the law it is from. Miller-Madow adds that number, for the states seen. Grassberger's terms have a bias
//! that falls exponentially where every state is expected more than once. Chao and Shen, and NSB, also
//! count what was never seen, and are the ones to use where most states are rare; where every state is seen
//! some times Chao and Shen's is the plug-in value, with its bias. None is unbiased for every law: there is
//! no such estimator (Paninski 2003).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::gamma::digamma;

use super::nsb::nsb;
use crate::error::{Error, Result};

/// How entropy from counts is corrected for the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Correction {
    /// Not at all: the entropy of the frequencies.
    PlugIn,
    /// Miller (1955).
    MillerMadow,
    /// Grassberger (2003).
    #[default]
    Grassberger,
    /// Chao and Shen (2003).
    ChaoShen,
    /// Nemenman, Shafee and Bialek (2002): Bayesian.
    Nsb,
}

impl Correction {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::PlugIn, Self::MillerMadow, Self::Grassberger, Self::ChaoShen, Self::Nsb];
}

/// The entropy of a variable of which every state was counted, nats. States that were never seen are zeros;
/// only [`Correction::Nsb`] needs to know of them.
///
/// ```
/// use tcmax_estimators::exact::{Correction, entropy_of_counts};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let log2 = 2f64.ln();
/// assert!((entropy_of_counts(&[1, 1], Correction::PlugIn)? - log2).abs() < 1e-15);
/// // One state more than one, of two rows: 1/4.
/// assert!((entropy_of_counts(&[1, 1], Correction::MillerMadow)? - log2 - 0.25).abs() < 1e-15);
/// assert_eq!(entropy_of_counts(&[5, 0], Correction::ChaoShen)?, 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When nothing was counted.
pub fn entropy_of_counts(counts: &[u64], correction: Correction) -> Result<f64> {
    let seen: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
    if seen.is_empty() {
        return Err(Error::Empty { what: "the list of counts", unit: "row" });
    }
    Ok(of_seen(&seen, counts.len() as f64, correction))
}

/// The entropy from the counts of the states that were seen, at least one, of so many that are possible.
pub(super) fn of_seen(seen: &[u64], possible: f64, correction: Correction) -> f64 {
    let rows = seen.iter().sum::<u64>() as f64;
    // One state has no entropy, whatever the formulas make of it.
    if seen.len() == 1 && correction != Correction::Nsb {
        return 0.0;
    }
    let mean = |of_count: &dyn Fn(u64) -> f64| {
        seen.iter().map(|&count| count as f64 * of_count(count)).sum::<f64>() / rows
    };
    let plug_in = || rows.ln() - mean(&|count| (count as f64).ln());
    match correction {
        Correction::PlugIn => plug_in(),
        Correction::MillerMadow => plug_in() + (seen.len() as f64 - 1.0) / (2.0 * rows),
        Correction::Grassberger => rows.ln() - mean(&grassberger),
        Correction::ChaoShen => chao_shen(seen, rows),
        Correction::Nsb => nsb(seen, possible),
    }
}

/// G(n) = log 2 + psi(floor(n / 2) + 1/2), which is the formula above.
fn grassberger(count: u64) -> f64 {
    std::f64::consts::LN_2 + digamma((count / 2) as f64 + 0.5)
}

/// The sum over the states seen, each weighed by the inverse of the probability of seeing it (Horvitz and
/// Thompson 1952).
fn chao_shen(seen: &[u64], rows: f64) -> f64 {
    let once = seen.iter().filter(|&&count| count == 1).count() as f64;
    // Were no state seen twice, the coverage would be 0 and the entropy infinite: one fewer counts.
    let once = if once == rows { rows - 1.0 } else { once };
    let coverage = 1.0 - once / rows;
    let term = |&count: &u64| {
        let q = coverage * count as f64 / rows;
        // 1 - (1 - q)^N, also where q is tiny.
        let found = -(rows * (-q).ln_1p()).exp_m1();
        -q * q.ln() / found
    };
    seen.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    /// Mean and standard deviation of an estimate over 400 samples of a law.
    fn over_samples(law: &[f64], rows: usize, correction: Correction) -> (f64, f64) {
        let values: Vec<f64> = (0..400)
            .map(|sample| {
                let mut rng = Seed::new(3).index(sample).rng();
                let mut counts = vec![0; law.len()];
                for _ in 0..rows {
                    let mut left: f64 = rng.random();
                    let at = law.iter().position(|p| {
                        left -= p;
                        left < 0.0
                    });
                    counts[at.unwrap_or(law.len() - 1)] += 1;
                }
                entropy_of_counts(&counts, correction).unwrap()
            })
            .collect();
        let mean = values.iter().sum::<f64>() / 400.0;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, (squares / 399.0).sqrt())
    }

    fn entropy(law: &[f64]) -> f64 {
        -law.iter().map(|p| p * p.ln()).sum::<f64>()
    }

    #[test]
    fn corrections_have_less_bias_than_the_plug_in_value() {
        let uniform = vec![1.0 / 30.0; 30];
        let total: f64 = (1..=30).map(|i| 1.0 / f64::from(i)).sum();
        let skewed: Vec<f64> = (1..=30).map(|i| 1.0 / f64::from(i) / total).collect();
        for law in [uniform, skewed] {
            let truth = entropy(&law);
            let (plug_in, deviation) = over_samples(&law, 40, Correction::PlugIn);
            // About -29 / 80.
            assert!(truth - plug_in > 0.2, "{plug_in} of {truth}");
            for correction in &Correction::ALL[1..] {
                let (mean, own) = over_samples(&law, 40, *correction);
                let (bias, most) = ((mean - truth).abs(), 0.5 * (truth - plug_in));
                assert!(bias < most, "{correction:?}: bias {bias}, plug-in {}", truth - plug_in);
                // Nor is that bought by values that scatter.
                assert!(own < 2.0 * deviation, "{correction:?}: {own} and {deviation}");
            }
        }
    }

    #[test]
    fn all_agree_where_rows_are_many_and_know_one_state_from_two() {
        let counts = [300_000, 500_000, 200_000];
        let truth = entropy(&[0.3, 0.5, 0.2]);
        for correction in Correction::ALL {
            let value = entropy_of_counts(&counts, correction).unwrap();
            assert!((value - truth).abs() < 1e-5, "{correction:?}: {value} of {truth}");
            assert_eq!(entropy_of_counts(&[7], correction).unwrap(), 0.0, "{correction:?}");
            let order = entropy_of_counts(&[200_000, 300_000, 500_000], correction).unwrap();
            assert!((value - order).abs() < 1e-12, "{correction:?}");
            let refused = entropy_of_counts(&[0, 0], correction);
            assert!(matches!(refused, Err(Error::Empty { .. })), "{correction:?}");
        }
    }

    #[test]
    fn values_are_those_of_the_formulas() {
        const GAMMA: f64 = 0.577_215_664_901_532_9;
        let log2 = 2f64.ln();
        let of = |counts: &[u64], correction| entropy_of_counts(counts, correction).unwrap();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        // G(1) = -gamma - log 2, G(2) = G(3) = 2 - gamma - log 2, G(4) = G(2) + 2/3.
        let g = [1, 2, 3, 4].map(grassberger);
        let first = -GAMMA - log2;
        [first, first + 2.0, first + 2.0, first + 8.0 / 3.0]
            .into_iter()
            .zip(g)
            .for_each(|(wanted, got)| close(got, wanted));
        close(of(&[1, 1], Correction::Grassberger), 2.0 * log2 + GAMMA);
        // Coverage 2/3 of three rows: q = 4/9 and 2/9.
        let term = |q: f64| -q * q.ln() / (1.0 - (1.0 - q).powi(3));
        close(of(&[2, 1], Correction::ChaoShen), term(4.0 / 9.0) + term(2.0 / 9.0));
        close(of(&[1, 1], Correction::ChaoShen), 2.0 * 0.25 * 4f64.ln() / (1.0 - 0.75f64.powi(2)));
    }
}
