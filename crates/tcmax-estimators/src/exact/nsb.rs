//! The entropy estimator of Nemenman, Shafee and Bialek.
//!
//! Under a Dirichlet prior of concentration b for each of K states, the entropy is expected to be
//! xi(b) = psi(K b + 1) - psi(b + 1) before any row is seen, with hardly any spread: whatever b is chosen,
//! the prior decides. A prior over b that makes xi uniform from 0 to log K leaves the entropy open:
//!
//! ```text
//! H = int E[H | n, b] p(n | b) dxi(b) / int p(n | b) dxi(b)                            (nats)
//! E[H | n, b] = psi(N + K b + 1) - sum_i (n_i + b) / (N + K b) psi(n_i + b + 1)
//! p(n | b) ~ Gamma(K b) / Gamma(N + K b) prod_i Gamma(n_i + b) / Gamma(b)
//! ```
//!
//! "Entropy and inference, revisited" (NIPS 2002); the mean is that of Wolpert and Wolf (1995). The integral
//! runs over log b, where the integrand is smooth.

use statrs::function::gamma::{digamma, ln_gamma};

/// Points of the integral over log b.
const POINTS: usize = 200;

/// log b of the first and the last point. Outside them dxi is below 1e-5 of log K.
const RANGE: [f64; 2] = [-30.0, 12.0];

/// Below the largest by more nats, an integrand is 0.
const NOTHING: f64 = 40.0;

/// The posterior mean of the entropy, from the counts of the states seen, of so many that are possible.
pub(super) fn nsb(seen: &[u64], possible: f64) -> f64 {
    let possible = possible.max(seen.len() as f64);
    if possible <= 1.0 {
        return 0.0;
    }
    let counts = Counts::new(seen, possible);
    let mut range = RANGE;
    // Where rows are many the integrand is a narrow peak: the range shrinks to it.
    for _ in 0..6 {
        let logs = points(range).map(|log_b| counts.log_weight(log_b)).collect::<Vec<_>>();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let counted = |log: &f64| *log > top - NOTHING;
        let first = logs.iter().position(counted).unwrap_or(0).saturating_sub(1);
        let last =
            logs.iter().rposition(counted).map_or(POINTS - 1, |last| (last + 1).min(POINTS - 1));
        let at =
            |point: usize| range[0] + (range[1] - range[0]) * point as f64 / (POINTS - 1) as f64;
        let shrunk = [at(first), at(last)];
        let done = 2 * (last - first) > POINTS;
        range = shrunk;
        if done {
            break;
        }
    }
    let logs = points(range).map(|log_b| (log_b, counts.log_weight(log_b))).collect::<Vec<_>>();
    let top = logs.iter().map(|(_, log)| *log).fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut total) = (0.0, 0.0);
    for (log_b, log) in logs {
        let weight = (log - top).exp();
        sum += weight * counts.mean_entropy(log_b.exp());
        total += weight;
    }
    sum / total
}

fn points([first, last]: [f64; 2]) -> impl Iterator<Item = f64> {
    (0..POINTS).map(move |i| first + (last - first) * i as f64 / (POINTS - 1) as f64)
}

/// How many states have each count.
struct Counts {
    /// (n, states with n rows), n > 0.
    of_count: Vec<(f64, f64)>,
    rows: f64,
    /// K.
    states: f64,
    unseen: f64,
}

impl Counts {
    fn new(seen: &[u64], states: f64) -> Self {
        let mut sorted = seen.to_vec();
        sorted.sort_unstable();
        let of_count = sorted
            .chunk_by(|a, b| a == b)
            .map(|same| (same[0] as f64, same.len() as f64))
            .collect();
        let rows = sorted.iter().sum::<u64>() as f64;
        Self { of_count, rows, states, unseen: states - seen.len() as f64 }
    }

    /// log (p(n | b) dxi / dlog b), up to a constant.
    fn log_weight(&self, log_b: f64) -> f64 {
        let b = log_b.exp();
        let (k, n) = (self.states, self.rows);
        let evidence: f64 =
            self.of_count.iter().map(|&(count, states)| states * log_rising(b, count)).sum();
        // The difference is rounding where b is large.
        let slope = (k * trigamma(k * b + 1.0) - trigamma(b + 1.0)).max(f64::MIN_POSITIVE);
        evidence - log_rising(k * b, n) + slope.ln() + log_b
    }

    /// E[H | n, b].
    fn mean_entropy(&self, b: f64) -> f64 {
        let total = self.rows + self.states * b;
        let term = |count: f64| (count + b) / total * digamma(count + b + 1.0);
        let seen: f64 = self.of_count.iter().map(|&(count, states)| states * term(count)).sum();
        digamma(total + 1.0) - seen - self.unseen * term(0.0)
    }
}

/// log (Gamma(x + n) / Gamma(x)) for a whole n.
fn log_rising(x: f64, n: f64) -> f64 {
    if n <= 32.0 {
        // Where x is large or tiny the difference of two logarithms of Gamma would be rounding.
        return (0..n as u32).map(|i| (x + f64::from(i)).ln()).sum();
    }
    ln_gamma(x + n) - ln_gamma(x)
}

/// psi'(x) for x > 0: the recurrence up to 10, the asymptotic series beyond.
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series =
        square * (1.0 / 6.0 - square * (1.0 / 30.0 - square * (1.0 / 42.0 - square / 30.0)));
    sum + 1.0 / x + 0.5 * square + series / x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigamma_has_its_known_values() {
        let pi = std::f64::consts::PI;
        for (x, value) in [(1.0, pi * pi / 6.0), (0.5, pi * pi / 2.0), (2.0, pi * pi / 6.0 - 1.0)] {
            assert!((trigamma(x) - value).abs() < 1e-11, "{x}: {} is not {value}", trigamma(x));
        }
    }

    #[test]
    fn values_are_those_of_the_integral_over_xi() {
        // Midpoints of 4000 steps of xi, each with its b by bisection.
        for (counts, states, value) in [
            (&[4, 2, 3, 2, 4, 2, 1, 1][..], 11.0, 2.187_774_5),
            (&[1; 10], 1000.0, 5.571_039),
            (&[5, 1], 2.0, 0.496_943_25),
            (&[30, 20, 10, 1], 20.0, 1.122_705_95),
        ] {
            let found = nsb(counts, states);
            assert!((found - value).abs() < 1e-4, "{counts:?}: {found} is not {value}");
        }
    }

    #[test]
    fn without_rows_that_repeat_the_answer_lies_between_none_and_all() {
        // Ten rows in ten of a thousand states: at least log 10, at most log 1000.
        let value = nsb(&[1; 10], 1000.0);
        assert!(value > 10f64.ln() && value < 1000f64.ln(), "{value}");
        // A thousand states seen evenly are what they look like.
        let even = nsb(&[50; 1000], 1000.0);
        assert!((even - 1000f64.ln()).abs() < 1e-3, "{even}");
        // States that nobody has seen in many rows hardly count.
        let few = nsb(&[50_000, 50_000], 1000.0);
        assert!((few - 2f64.ln()).abs() < 0.01, "{few}");
        assert!(nsb(&[100_000], 2.0) < 1e-3);
    }
}
