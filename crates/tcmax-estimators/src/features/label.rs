//! What features tell of the class: a linear discriminant, its certainty measured on other examples.
//!
//! ```text
//! d_c(z) = m_c^T S^-1 x - 1/2 m_c^T S^-1 m_c               x = z standardised, m_c the mean of class c
//! p_s(c | z) = softmax_c( log p(c) + s d_c(z) )
//! I(y; z) >= H(y) - 1/N sum_i -log p_s(y_i | z_i)         (nats)
//! ```
//!
//! Linear discriminant analysis (Fisher 1936): a linear softmax classifier in closed form, the right one for classes
//! that are Gaussian with one covariance. Of features that a network has memorised it would be far too certain of
//! others: the one number s is fitted to examples that the bound is not measured on (temperature scaling, Guo et al.
//! 2017; with s = 0 it only knows the frequencies of the classes, and the bound is 0).

use ndarray::{Array2, ArrayView1, Axis};

use super::within::WithinClasses;

/// Newton's steps for s.
const STEPS: usize = 12;

/// d_c(z) of every example and class (N, C), of features that `within` was fitted to or others.
pub(super) fn discriminant(within: &WithinClasses, z: &Array2<f64>) -> Array2<f64> {
    let weight = within.solve(within.means.t().to_owned());
    let bias = (&within.means * &weight.t()).sum_axis(Axis(1)) * -0.5;
    within.standardised(z).dot(&weight) + &bias
}

/// Scores of examples with their classes.
pub(super) struct Scored<'a> {
    pub(super) scores: &'a Array2<f64>,
    pub(super) labels: &'a [u32],
    pub(super) log_prior: &'a [f64],
}

impl Scored<'_> {
    /// The s of least cross-entropy on some of the examples: the cross-entropy is convex in s.
    pub(super) fn scale(&self, rows: &[usize]) -> f64 {
        if self.slope(rows, 0.0).0 >= 0.0 {
            return 0.0;
        }
        let spread =
            rows.iter().map(|&row| self.scores.row(row).var(0.0)).sum::<f64>() / rows.len() as f64;
        let mut s = spread.sqrt().recip();
        if !s.is_finite() {
            return 0.0;
        }
        for _ in 0..STEPS {
            let (slope, curvature) = self.slope(rows, s);
            // Far from the minimum the curvature vanishes.
            s = (s - slope / curvature.max(1e-300)).clamp(0.2 * s, 5.0 * s);
        }
        s
    }

    /// First and second derivative by s of the mean cross-entropy.
    fn slope(&self, rows: &[usize], s: f64) -> (f64, f64) {
        let (mut slope, mut curvature) = (0.0, 0.0);
        let mut p = vec![0.0; self.log_prior.len()];
        for &row in rows {
            let scores = self.scores.row(row);
            log_softmax(scores, s, self.log_prior, &mut p);
            p.iter_mut().for_each(|p| *p = p.exp());
            let mean: f64 = p.iter().zip(&scores).map(|(p, d)| p * d).sum();
            let square: f64 = p.iter().zip(&scores).map(|(p, d)| p * (d - mean).powi(2)).sum();
            slope += mean - scores[self.labels[row] as usize];
            curvature += square;
        }
        (slope / rows.len() as f64, curvature / rows.len() as f64)
    }

    /// log p_s(c | z) of some of the examples, (K, C).
    pub(super) fn log_posteriors(&self, rows: &[usize], s: f64) -> Array2<f64> {
        let classes = self.log_prior.len();
        let mut found = Array2::zeros((rows.len(), classes));
        let mut p = vec![0.0; classes];
        for (mut out, &row) in found.rows_mut().into_iter().zip(rows) {
            log_softmax(self.scores.row(row), s, self.log_prior, &mut p);
            out.iter_mut().zip(&p).for_each(|(out, p)| *out = *p);
        }
        found
    }

    /// The sum over some of the examples of -log p_s(y | z).
    pub(super) fn cross_entropy(&self, rows: &[usize], s: f64) -> f64 {
        let mut p = vec![0.0; self.log_prior.len()];
        let mut of_row = |&row: &usize| {
            log_softmax(self.scores.row(row), s, self.log_prior, &mut p);
            -p[self.labels[row] as usize]
        };
        rows.iter().map(&mut of_row).sum()
    }
}

/// log softmax of log p(c) + s d_c.
fn log_softmax(scores: ArrayView1<'_, f64>, s: f64, log_prior: &[f64], out: &mut [f64]) {
    for ((out, score), prior) in out.iter_mut().zip(&scores).zip(log_prior) {
        *out = prior + s * score;
    }
    let sum = log_sum_exp(out);
    out.iter_mut().for_each(|x| *x -= sum);
}

/// log sum exp of some numbers.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + values.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_that_of_the_least_cross_entropy() {
        let n = 60;
        let labels: Vec<u32> = (0..n).map(|i| i % 3).collect();
        // Right in four of five rows, and far too certain.
        let guess = |i: u32| if i.is_multiple_of(5) { (i + 1) % 3 } else { i % 3 };
        let scores = Array2::from_shape_fn((n as usize, 3), |(i, c)| {
            if guess(i as u32) as usize == c { 40.0 } else { 0.0 }
        });
        let log_prior = [3f64.recip().ln(); 3];
        let scored = Scored { scores: &scores, labels: &labels, log_prior: &log_prior };
        let rows: Vec<usize> = (0..n as usize).collect();
        let s = scored.scale(&rows);
        // p(right) = 0.8 = e^x / (e^x + 2).
        assert!((40.0 * s - 8f64.ln()).abs() < 1e-6, "{s}");
        let nats = scored.cross_entropy(&rows, s);
        for other in [0.0, 0.9 * s, 1.1 * s, 1.0] {
            assert!(nats < scored.cross_entropy(&rows, other));
        }
        // Scores that point the wrong way are not believed at all.
        let wrong = -&scores;
        let scored = Scored { scores: &wrong, labels: &labels, log_prior: &log_prior };
        assert_eq!(scored.scale(&rows), 0.0);
    }
}
