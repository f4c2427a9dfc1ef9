//! Features within their classes: class means, and a covariance that many columns and few rows leave invertible.
//!
//! ```text
//! S = (1 - d) S_w + d (tr S_w / D) I + floor
//! ```
//!
//! with the covariance S_w of the features less the means of their classes, of columns that were brought to unit
//! variance, and the intensity d that has the least expected squared error: Ledoit and Wolf, "A well-conditioned
//! estimator for large-dimensional covariance matrices" (2004).

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::exact::linalg::cholesky;

/// Added to the diagonal, of columns with unit variance: features that are the same in all rows of a class would be
/// infinitely certain.
const FLOOR: f64 = 1e-6;

/// What is known of a modality's features within their classes.
pub(super) struct WithinClasses {
    mean: Array1<f64>,
    /// One over the standard deviation of each column; 0 for a constant one.
    scale: Array1<f64>,
    /// Means of the classes (C, D) of standardised features; zeros for a class without examples.
    pub(super) means: Array2<f64>,
    /// The lower Cholesky factor L of S.
    factor: Array2<f64>,
}

impl WithinClasses {
    /// Of features (N, D) and their classes.
    pub(super) fn of(z: &Array2<f64>, labels: &[u32], classes: usize) -> Self {
        let n = z.nrows() as f64;
        let mean = z.sum_axis(Axis(0)) / n;
        let centred = z - &mean;
        let variance = centred.mapv(|x| x * x).sum_axis(Axis(0)) / n;
        // What is left of a constant column is rounding.
        let constant =
            |variance: f64, mean: f64| variance <= 1e-12 * mean * mean || variance == 0.0;
        let scale = ndarray::Zip::from(&variance).and(&mean).map_collect(|&variance, &mean| {
            if constant(variance, mean) { 0.0 } else { variance.sqrt().recip() }
        });
        let mut rows = centred * &scale;
        let means = class_means(&rows, labels, classes);
        for (mut row, &label) in rows.rows_mut().into_iter().zip(labels) {
            row -= &means.row(label as usize);
        }
        let factor = factor_of(&rows);
        Self { mean, scale, means, factor }
    }

    /// Standardised features (N, D).
    pub(super) fn standardised(&self, z: &Array2<f64>) -> Array2<f64> {
        (z - &self.mean) * &self.scale
    }

    /// Standardised features (N, D) less the means of their classes.
    pub(super) fn residuals(&self, z: &Array2<f64>, labels: &[u32]) -> Array2<f64> {
        let mut rows = self.standardised(z);
        for (mut row, &label) in rows.rows_mut().into_iter().zip(labels) {
            row -= &self.means.row(label as usize);
        }
        rows
    }

    /// L^-1 B for B (D, K).
    pub(super) fn solve_lower(&self, mut b: Array2<f64>) -> Array2<f64> {
        for i in 0..b.nrows() {
            let (before, mut rest) = b.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            subtract(&mut row, self.factor.row(i), &before.view());
            row /= self.factor[(i, i)];
        }
        b
    }

    /// L^-T B for B (D, K).
    pub(super) fn solve_upper(&self, mut b: Array2<f64>) -> Array2<f64> {
        for i in (0..b.nrows()).rev() {
            let (mut before, mut rest) = b.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            row /= self.factor[(i, i)];
            for (j, mut other) in before.rows_mut().into_iter().enumerate() {
                other.scaled_add(-self.factor[(i, j)], &row);
            }
        }
        b
    }

    /// S^-1 B.
    pub(super) fn solve(&self, b: Array2<f64>) -> Array2<f64> {
        self.solve_upper(self.solve_lower(b))
    }
}

/// row -= sum_j weights_j others_j.
fn subtract(
    row: &mut ndarray::ArrayViewMut1<'_, f64>,
    weights: ArrayView1<'_, f64>,
    others: &ndarray::ArrayView2<'_, f64>,
) {
    for (&weight, other) in weights.iter().zip(others.rows()) {
        row.scaled_add(-weight, &other);
    }
}

fn class_means(rows: &Array2<f64>, labels: &[u32], classes: usize) -> Array2<f64> {
    let mut sums = Array2::zeros((classes, rows.ncols()));
    let mut counts = vec![0.0; classes];
    for (row, &label) in rows.rows().into_iter().zip(labels) {
        let mut sum = sums.row_mut(label as usize);
        sum += &row;
        counts[label as usize] += 1.0;
    }
    for (mut sum, count) in sums.rows_mut().into_iter().zip(counts) {
        sum /= f64::max(count, 1.0);
    }
    sums
}

/// The Cholesky factor of the shrunk covariance of centred rows.
fn factor_of(rows: &Array2<f64>) -> Array2<f64> {
    let (n, width) = (rows.nrows() as f64, rows.ncols());
    let mut covariance = rows.t().dot(rows) / n;
    let average = covariance.diag().sum() / width as f64;
    let squares = covariance.iter().map(|x| x * x).sum::<f64>();
    let fourth: f64 = rows.rows().into_iter().map(|row| row.dot(&row).powi(2)).sum();
    let spread = (fourth / n - squares) / n;
    let distance = squares - width as f64 * average * average;
    let intensity = if distance > 0.0 { (spread / distance).clamp(0.0, 1.0) } else { 1.0 };
    covariance *= 1.0 - intensity;
    covariance.diag_mut().mapv_inplace(|x| x + intensity * average + FLOOR);
    // Positive definite by the floor; only rounding of huge matrices could say otherwise.
    cholesky(&covariance).unwrap_or_else(|| Array2::from_diag(&covariance.diag().mapv(f64::sqrt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Array2<f64> {
        // A constant column, and one that is twice another.
        Array2::from_shape_fn((12, 4), |(i, j)| match j {
            0 => 3.0,
            1 => ((i * 7) % 5) as f64,
            2 => 2.0 * ((i * 7) % 5) as f64,
            _ => ((i * 5) % 11) as f64 - 4.0,
        })
    }

    #[test]
    fn constant_and_repeated_columns_leave_it_invertible() {
        let z = rows();
        let labels: Vec<u32> = (0..12).map(|i| i % 3).collect();
        let within = WithinClasses::of(&z, &labels, 4);
        let residuals = within.residuals(&z, &labels);
        assert!(residuals.column(0).iter().all(|&x| x == 0.0));
        for class in 0..3 {
            let of_class = residuals.select(Axis(0), &[class, class + 3, class + 6, class + 9]);
            assert!(of_class.sum_axis(Axis(0)).iter().all(|sum| sum.abs() < 1e-12));
        }
        assert!(within.means.row(3).iter().all(|&x| x == 0.0), "no example of the class");
        let b = Array2::from_shape_fn((4, 2), |(i, j)| (i + 2 * j) as f64);
        let covariance = within.factor.dot(&within.factor.t());
        let again = covariance.dot(&within.solve(b.clone()));
        assert!((again - b).iter().all(|x| x.abs() < 1e-8));
    }

    #[test]
    fn many_rows_are_hardly_shrunk_and_few_are_much() {
        let mut state = 1u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        let mut condition = |n: usize| {
            let mut rows = Array2::from_shape_fn((n, 6), |_| uniform());
            // One direction has a hundred times the variance of the others.
            rows.column_mut(0).mapv_inplace(|x| 10.0 * x);
            let factor = factor_of(&rows);
            let diagonal = factor.dot(&factor.t()).diag().to_owned();
            diagonal[0] / diagonal[3]
        };
        let (few, many) = (condition(10), condition(5_000));
        assert!((80.0..120.0).contains(&many) && few < 60.0, "{few} {many}");
    }
}
