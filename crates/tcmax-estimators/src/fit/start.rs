//! The critic of a Gaussian copula.
//!
//! log p(u) / prod_m p(u_m) of a Gaussian u with covariance S is u^T Q u + c with
//! Q = -1/2 (S^-1 - blockdiag(S_mm^-1)) and c = 1/2 (sum_m log det S_mm - log det S).

use super::prepared::Prepared;
use crate::linalg::{cholesky, inverse, log_det, submatrix};

/// Q, row by row, and c.
pub(super) struct GaussianCritic {
    pub(super) form: Vec<f64>,
    pub(super) constant: f64,
}

/// The Gaussian critic of the training part's covariance; columns of categorical variables are left
/// out. `None` where a covariance is singular, as with columns that repeat each other.
pub(super) fn gaussian_critic(data: &Prepared) -> Option<GaussianCritic> {
    let covariance = data.training_covariance();
    let continuous = data.continuous_columns();
    let dim = continuous.len();
    let mut blocks = Vec::new();
    let mut first = 0;
    for width in data.widths() {
        blocks.push((first..first + width).filter(|&i| continuous[i]).collect::<Vec<_>>());
        first += width;
    }
    let all = blocks.concat();
    if blocks.iter().filter(|block| !block.is_empty()).count() < 2 {
        return None;
    }
    let mut form = vec![0.0; dim * dim];
    let mut constant = 0.0;
    let mut add = |keep: &[usize], sign: f64| {
        let n = keep.len();
        // One part in a million on the diagonal keeps nearly singular covariances in range.
        let mut block = submatrix(&covariance, dim, keep);
        (0..n).for_each(|i| block[i * n + i] *= 1.0 + 1e-6);
        let factor = cholesky(&block, n)?;
        constant += 0.5 * sign * log_det(&factor, n);
        let inverse = inverse(&factor, n);
        for (a, &i) in keep.iter().enumerate() {
            for (b, &j) in keep.iter().enumerate() {
                form[i * dim + j] += 0.5 * sign * inverse[a * n + b];
            }
        }
        Some(())
    };
    blocks.iter().filter(|block| !block.is_empty()).try_for_each(|block| add(block, 1.0))?;
    add(&all, -1.0)?;
    Some(GaussianCritic { form, constant })
}
