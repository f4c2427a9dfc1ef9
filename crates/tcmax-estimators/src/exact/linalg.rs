//! Small dense symmetric matrices, in f64.

use linfa_linalg::cholesky::Cholesky;
use linfa_linalg::eigh::EighInto;
use linfa_linalg::triangular::{SolveTriangular, UPLO};
use ndarray::{Array1, Array2};

/// A pivot below this fraction of its diagonal entry is rounding.
const ROUNDING: f64 = 1e-14;

/// A matrix of side `n` of its entries row by row.
pub(crate) fn square(entries: &[f64], n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| entries[i * n + j])
}

/// The lower Cholesky factor L of a symmetric A = L L^T; `None` where A is not positive definite, or only
/// by rounding.
pub(crate) fn cholesky(a: &Array2<f64>) -> Option<Array2<f64>> {
    let factor = a.cholesky().ok()?;
    let pivots = factor.diag().into_iter().zip(a.diag());
    let regular = pivots.into_iter().all(|(l, a)| l * l > ROUNDING * a.abs());
    regular.then_some(factor)
}

/// log det A from its Cholesky factor.
pub(crate) fn log_det(factor: &Array2<f64>) -> f64 {
    factor.diag().iter().map(|pivot| 2.0 * pivot.ln()).sum()
}

/// L^-1 of a lower triangular L.
pub(crate) fn inverse_of_lower(factor: &Array2<f64>) -> Option<Array2<f64>> {
    factor.solve_triangular(&Array2::eye(factor.nrows()), UPLO::Lower).ok()
}

/// Eigenvalues and, as columns, eigenvectors of a symmetric matrix.
pub(crate) fn eigen(a: Array2<f64>) -> Option<(Array1<f64>, Array2<f64>)> {
    a.eigh_into().ok()
}

/// Rows and columns `keep` of a matrix.
pub(crate) fn submatrix(a: &Array2<f64>, keep: &[usize]) -> Array2<f64> {
    Array2::from_shape_fn((keep.len(), keep.len()), |(i, j)| a[(keep[i], keep[j])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_matrices_have_no_factor() {
        let factor = cholesky(&square(&[4.0, 1.0, 1.0, 3.0], 2)).unwrap();
        assert!((log_det(&factor) - 11f64.ln()).abs() < 1e-14);
        for singular in [[1.0; 4], [1.0, 1.0, 1.0, 1.0 + 1e-15], [1.0, f64::NAN, f64::NAN, 1.0]] {
            assert!(cholesky(&square(&singular, 2)).is_none());
        }
    }

    #[test]
    fn factors_and_eigenvectors_are_those_of_the_matrix() {
        let a = square(&[4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0], 3);
        let factor = cholesky(&a).unwrap();
        let white = inverse_of_lower(&factor).unwrap();
        let unit = white.dot(&a).dot(&white.t());
        assert!((unit - Array2::<f64>::eye(3)).iter().all(|x| x.abs() < 1e-14));
        let (values, vectors) = eigen(a.clone()).unwrap();
        let again = vectors.dot(&Array2::from_diag(&values)).dot(&vectors.t());
        assert!((again - a).iter().all(|x| x.abs() < 1e-13));
    }
}
