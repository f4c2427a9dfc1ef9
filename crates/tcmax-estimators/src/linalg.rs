//! Small dense symmetric matrices, in f64, row by row.

/// The lower Cholesky factor L of a symmetric positive definite A = L L^T of side `n`; `None` where
/// A is not positive definite.
pub(crate) fn cholesky(a: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = a[i * n + j] - dot;
            if i == j {
                if rest.is_nan() || rest <= 1e-14 * a[i * n + i].abs() {
                    return None;
                }
                l[i * n + i] = rest.sqrt();
            } else {
                l[i * n + j] = rest / l[j * n + j];
            }
        }
    }
    Some(l)
}

/// log det A from its Cholesky factor.
pub(crate) fn log_det(factor: &[f64], n: usize) -> f64 {
    (0..n).map(|i| 2.0 * factor[i * n + i].ln()).sum()
}

/// A^-1 from the Cholesky factor of A.
pub(crate) fn inverse(factor: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    let mut column = vec![0.0; n];
    for unit in 0..n {
        // L w = e, then L^T v = w.
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| factor[i * n + k] * column[k]).sum();
            column[i] = (f64::from(u8::from(i == unit)) - dot) / factor[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| factor[k * n + i] * column[k]).sum();
            column[i] = (column[i] - dot) / factor[i * n + i];
        }
        (0..n).for_each(|i| inverse[i * n + unit] = column[i]);
    }
    inverse
}

/// Rows and columns `keep` of a matrix of side `n`.
pub(crate) fn submatrix(a: &[f64], n: usize, keep: &[usize]) -> Vec<f64> {
    keep.iter().flat_map(|&i| keep.iter().map(move |&j| a[i * n + j])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_one() {
        let a = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let inverse = inverse(&cholesky(&a, 3).unwrap(), 3);
        for i in 0..3 {
            for j in 0..3 {
                let entry: f64 = (0..3).map(|k| a[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((entry - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert!(cholesky(&[1.0, 1.0, 1.0, 1.0], 2).is_none());
        assert!(cholesky(&[f64::NAN], 1).is_none());
    }
}
