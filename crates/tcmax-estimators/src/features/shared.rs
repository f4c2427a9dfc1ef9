//! What features share through the class.
//!
//! ```text
//! T(z_1, .., z_M) = log sum_c p(c)^(1 - M) prod_m p(c | z_m)
//! I(z_1; ..; z_M) >= 1/N sum_i T(z_1^i, .., z_M^i) - log mean over tuples of exp T      (nats)
//! ```
//!
//! T is the logarithm of p(z_1, .., z_M) / prod_m p(z_m) where the features are independent given the class, and a
//! critic like any other elsewhere. Since exp T is a sum over the classes of products over the modalities, the mean over
//! all N^M tuples is
//!
//! ```text
//! sum_c p(c)^(1 - M) prod_m ( 1/N sum_j p(c | z_m^j) )
//! ```
//!
//! in O(M N C) time and O(C) memory. The bound is Donsker and Varadhan's (1983); its value is below (M - 1) log N.

use ndarray::Array2;

use super::label::log_sum_exp;

/// The bound for variables with these log p(c | z_m), (N, C) each.
pub(super) fn through_the_class(log_posteriors: &[&Array2<f64>], log_prior: &[f64]) -> f64 {
    let powers = 1.0 - log_posteriors.len() as f64;
    let offset: Vec<f64> = log_prior.iter().map(|log_p| powers * log_p).collect();
    let rows = log_posteriors[0].nrows();
    let mut terms = vec![0.0; offset.len()];
    let mut joint = 0.0;
    for i in 0..rows {
        terms.copy_from_slice(&offset);
        for log_p in log_posteriors {
            terms.iter_mut().zip(log_p.row(i)).for_each(|(term, log_p)| *term += log_p);
        }
        joint += log_sum_exp(&terms);
    }
    terms.copy_from_slice(&offset);
    for log_p in log_posteriors {
        for (term, column) in terms.iter_mut().zip(log_p.columns()) {
            *term += log_sum_exp(&column.to_vec()) - (rows as f64).ln();
        }
    }
    joint / rows as f64 - log_sum_exp(&terms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_bound_over_all_tuples() {
        let n = 5;
        let prior = [0.5f64, 0.3, 0.2];
        let log_prior = prior.map(f64::ln);
        let posterior = |m: usize| {
            let mut p =
                Array2::from_shape_fn((n, 3), |(i, c)| ((7 * i + 3 * c + 5 * m) % 11) as f64 + 0.5);
            for mut row in p.rows_mut() {
                let sum = row.sum();
                row /= sum;
            }
            p
        };
        let p = [posterior(0), posterior(1), posterior(2)];
        let t = |i: usize, j: usize, k: usize| {
            let of_class = |c: usize| p[0][(i, c)] * p[1][(j, c)] * p[2][(k, c)] / prior[c].powi(2);
            (0..3).map(of_class).sum::<f64>().ln()
        };
        let joint = (0..n).map(|i| t(i, i, i)).sum::<f64>() / n as f64;
        let tuples = (0..n * n * n).map(|s| t(s / (n * n), s / n % n, s % n).exp());
        let expected = joint - (tuples.sum::<f64>() / (n * n * n) as f64).ln();
        let logs = p.map(|p| p.mapv(f64::ln));
        let found = through_the_class(&[&logs[0], &logs[1], &logs[2]], &log_prior);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
