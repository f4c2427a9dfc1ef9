//! Tasks whose information is known.

mod own;
mod published;

use clap::ValueEnum;
use statrs::function::gamma::{digamma, ln_gamma};
use tcmax_estimators::Sample;
use tcmax_ops::Seed;

/// Which tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Ours, of two to five variables
    Own,
    /// The 40 pairs of "Beyond Normal" (Czyz et al., NeurIPS 2023)
    Bmi,
}

/// A distribution to draw from, with its total correlation in nats.
pub struct Task {
    pub name: String,
    pub truth: f64,
    law: Box<dyn Draw>,
}

/// What draws the joint examples of a task.
trait Draw: Send + Sync {
    fn draw(&self, rows: usize, seed: Seed, task: &str) -> tcmax_estimators::Result<Sample>;
}

impl Task {
    /// Every task of a suite.
    pub fn all(suite: Suite) -> Vec<Self> {
        match suite {
            Suite::Own => own::all(),
            Suite::Bmi => published::all(),
        }
    }

    /// `rows` joint examples.
    pub fn draw(&self, rows: usize, seed: Seed) -> tcmax_estimators::Result<Sample> {
        self.law.draw(rows, seed, &self.name)
    }
}

/// Two vectors of `columns` normal entries, all of both equally correlated.
fn dense_truth(columns: usize, rho: f64) -> f64 {
    // det of d unit variances with equal correlations: (1 - rho)^(d-1) (1 + (d - 1) rho).
    let log_det = |d: f64| (d - 1.0) * (-rho).ln_1p() + ((d - 1.0) * rho).ln_1p();
    let d = columns as f64;
    log_det(d) - 0.5 * log_det(2.0 * d)
}

/// Two vectors of `columns` uncorrelated entries, jointly Student-t: what their common scale tells.
fn student_truth(columns: usize, freedom: f64) -> f64 {
    // The entropy of a standard t vector.
    let entropy = |d: f64| {
        let (half, whole) = (0.5 * freedom, 0.5 * (freedom + d));
        ln_gamma(half) - ln_gamma(whole)
            + 0.5 * d * (freedom * std::f64::consts::PI).ln()
            + whole * (digamma(whole) - digamma(half))
    };
    let d = columns as f64;
    2.0 * entropy(d) - entropy(2.0 * d)
}

/// x uniform on [0, 1), and x + uniform noise on [-e, e).
fn noise_truth(e: f64) -> f64 {
    if e <= 0.5 { e - (2.0 * e).ln() } else { 1.0 / (4.0 * e) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_tasks_have_their_published_truths() {
        let tasks = Task::all(Suite::Bmi);
        assert_eq!(tasks.len(), 40);
        // As the paper prints them, to two digits, in any order.
        let mut wanted = vec![0.22, 0.43, 0.29, 0.45, 0.41, 0.41, 0.41, 0.29, 0.41, 0.59, 1.29];
        wanted.extend([1.62, 0.41, 0.22, 0.43, 0.19, 0.29, 0.18, 0.45, 0.30, 0.41, 1.71, 0.33]);
        wanted.extend([0.41]);
        wanted.extend([1.02; 16]);
        let mut found: Vec<f64> = tasks.iter().map(|task| task.truth).collect();
        wanted.sort_by(f64::total_cmp);
        found.sort_by(f64::total_cmp);
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 0.006, "{found} is not {wanted}");
        }
    }

    #[test]
    fn draws_are_of_the_size_and_the_seed() {
        for suite in [Suite::Own, Suite::Bmi] {
            let tasks = Task::all(suite);
            let mut names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), tasks.len());
            for task in &tasks {
                let draw = |seed| task.draw(12, Seed::new(seed)).unwrap();
                let (one, again, other) = (draw(3), draw(3), draw(4));
                assert_eq!(one.len(), 12);
                let values = |sample: &Sample| sample.variables()[0].values().to_vec();
                assert_eq!(values(&one), values(&again), "{}", task.name);
                assert_ne!(values(&one), values(&other), "{}", task.name);
            }
        }
    }
}
