//! The least information on a target that laws with the same pairs can have.
//!
//! Over all q(s, x, y) with q(s, x) = p(s, x) and q(s, y) = p(s, y), I_q(s; (x, y)) is convex, and the least
//! is found by alternating minimisation (Csiszar and Tusnady 1984; for this problem Banerjee, Rauh and
//! Montufar 2018):
//!
//! ```text
//! min_q I_q(s; (x, y)) = min_q min_r D(q(s, x, y) || p(s) r(x, y))
//! ```
//!
//! For a fixed q the best r is q(x, y). For a fixed r the best q(. | s) is r, rescaled by rows and columns
//! until its marginals are p(x | s) and p(y | s) (iterative proportional fitting). Every step lowers the value,
//! and the largest log (r_new / r) bounds from above how far it can still fall, so the end is known to be
//! the end.

use crate::error::{Error, Result};

/// The value is at most this far above the least, nats, where the search ends in time.
const TOLERANCE: f64 = 1e-6;

/// Steps at most.
const MOST_STEPS: usize = 20_000;

/// Above this gap, nats, the steps were not enough for any use.
const WORST: f64 = 1e-3;

/// Rescalings of rows and columns in a step at most, and how close marginals come.
const MOST_SCALINGS: usize = 1000;
const MARGIN: f64 = 1e-13;

/// r does not fall to 0 where it was not, as no rescaling would bring it back.
const LEAST: f64 = 1e-290;

/// The least I_q(s; (x, y)) and a bound on how far above it the value is, nats, from p(s, x, y) as a table of
/// the given sizes, the last variable running fastest.
pub(super) fn least_information(joint: &[f64], sizes: [usize; 3]) -> Result<(f64, f64)> {
    let [_, xs, ys] = sizes;
    let mut states: Vec<State> = joint
        .chunks_exact(xs * ys)
        .filter(|of_state| of_state.iter().sum::<f64>() > 0.0)
        .map(|of_state| State::new(of_state, ys))
        .collect();
    let mut r = mixture(&states, xs * ys);
    let mut gap = f64::INFINITY;
    for _ in 0..MOST_STEPS {
        states.iter_mut().for_each(|state| state.project(&r, ys));
        let next = mixture(&states, xs * ys);
        let ratios = next.iter().zip(&r).filter(|(_, r)| **r > 0.0).map(|(next, r)| next / r);
        // At least 0 but for rounding, as both sum to 1.
        gap = ratios.fold(0.0, f64::max).ln().max(0.0);
        let lift = |(next, r): (f64, &f64)| if *r > 0.0 { next.max(LEAST) } else { 0.0 };
        r = next.into_iter().zip(&r).map(lift).collect();
        if gap < TOLERANCE {
            break;
        }
    }
    if gap > WORST {
        let problem = format!(
            "the search for the least information stopped up to {gap:.1e} nats from its end; merge \
             classes, or use the definition i-min, which needs no search"
        );
        return Err(Error::Setting { field: "partial information", problem });
    }
    let of_state = |state: &State| {
        let term = |(&q, &r): (&f64, &f64)| if q > 0.0 { q * (q / r).ln() } else { 0.0 };
        state.share * state.law.iter().zip(&r).map(term).sum::<f64>()
    };
    Ok((states.iter().map(of_state).sum(), gap))
}

/// sum_s p(s) q(x, y | s).
fn mixture(states: &[State], entries: usize) -> Vec<f64> {
    let mut sum = vec![0.0; entries];
    for state in states {
        sum.iter_mut().zip(&state.law).for_each(|(sum, q)| *sum += state.share * q);
    }
    sum
}

/// One state s of the target.
struct State {
    /// p(s).
    share: f64,
    /// p(x | s) and p(y | s).
    rows: Vec<f64>,
    columns: Vec<f64>,
    /// q(x, y | s), row by row.
    law: Vec<f64>,
    /// What columns of r are multiplied by, from the last step.
    scale: Vec<f64>,
}

impl State {
    fn new(joint: &[f64], ys: usize) -> Self {
        let share: f64 = joint.iter().sum();
        let rows: Vec<f64> =
            joint.chunks_exact(ys).map(|row| row.iter().sum::<f64>() / share).collect();
        let column = |y: usize| joint.iter().skip(y).step_by(ys).sum::<f64>() / share;
        let columns: Vec<f64> = (0..ys).map(column).collect();
        // Independent given s: positive wherever any law with these marginals is.
        let law = rows.iter().flat_map(|x| columns.iter().map(move |y| x * y)).collect();
        Self { share, rows, columns, law, scale: vec![1.0; ys] }
    }

    /// Sets the law to the one nearest to r among those with the marginals.
    fn project(&mut self, r: &[f64], ys: usize) {
        let Self { rows, columns, scale, .. } = self;
        let divided = |wanted: f64, sum: f64| if sum > 0.0 { wanted / sum } else { 0.0 };
        let mut of_rows = vec![0.0; rows.len()];
        for _ in 0..MOST_SCALINGS {
            for ((of_row, r), &wanted) in of_rows.iter_mut().zip(r.chunks_exact(ys)).zip(&*rows) {
                *of_row = divided(wanted, r.iter().zip(&*scale).map(|(r, scale)| r * scale).sum());
            }
            let mut sums = vec![0.0; ys];
            for (of_row, r) in of_rows.iter().zip(r.chunks_exact(ys)) {
                sums.iter_mut().zip(r).for_each(|(sum, r)| *sum += of_row * r);
            }
            let mut farthest = 0.0f64;
            for ((scale, sum), &wanted) in scale.iter_mut().zip(sums).zip(&*columns) {
                farthest = farthest.max((*scale * sum - wanted).abs());
                *scale = divided(wanted, sum);
            }
            if farthest < MARGIN {
                break;
            }
        }
        for ((law, r), of_row) in self.law.chunks_exact_mut(ys).zip(r.chunks_exact(ys)).zip(of_rows)
        {
            for ((q, r), scale) in law.iter_mut().zip(r).zip(&self.scale) {
                *q = of_row * r * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_over_the_one_free_number_finds_no_less() {
        // y is a noisy copy of s, x another; given s a 2 x 2 table has one degree of freedom.
        let (p, q) = (0.9, 0.7);
        let right = |same: bool, p: f64| if same { p } else { 1.0 - p };
        let mut joint = vec![0.0; 8];
        for (i, value) in joint.iter_mut().enumerate() {
            let (s, x, y) = (i / 4, i / 2 % 2, i % 2);
            *value = 0.5 * right(x == s, p) * right(y == s, q);
        }
        let (found, gap) = least_information(&joint, [2; 3]).unwrap();
        let information = |shifts: [f64; 2]| {
            let mut law = joint.clone();
            for (s, shift) in shifts.into_iter().enumerate() {
                let signs = [1.0, -1.0, -1.0, 1.0];
                (0..4).for_each(|i| law[4 * s + i] += signs[i] * shift);
            }
            if law.iter().any(|p| *p < 0.0) {
                return f64::INFINITY;
            }
            let of_pair = |i: usize| law[i % 4] + law[4 + i % 4];
            let term = |(i, &p): (usize, &f64)| {
                if p > 0.0 { p * (p / (0.5 * of_pair(i))).ln() } else { 0.0 }
            };
            law.iter().enumerate().map(term).sum()
        };
        let grid = || (-200..=200).map(|i| 0.001 * f64::from(i));
        let least = grid()
            .flat_map(|a| grid().map(move |b| [a, b]))
            .map(information)
            .fold(f64::INFINITY, f64::min);
        assert!(found <= least + gap && found > least - 1e-4, "{found} and {least}");
        // x alone tells as much, since y is x with more noise.
        let channel = 2f64.ln() + p * p.ln() + (1.0 - p) * (1.0f64 - p).ln();
        assert!((found - channel).abs() < 2.0 * gap.max(1e-6), "{found} is not {channel}");
    }
}
