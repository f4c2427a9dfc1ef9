//! Exact information of jointly Gaussian variables, nats.
//!
//! ```text
//! TC = 1/2 (sum_b log det S_bb - log det S),     = -1/2 log det R for single variables
//! I(a; b | c) = 1/2 (log det S_ac + log det S_bc - log det S_c - log det S_abc)
//! ```
//!
//! with the covariance S, its diagonal blocks S_bb, and the correlation matrix R (Watanabe 1960; Cover
//! and Thomas, chapter 8).

use tcmax_registry::Options;

use super::linalg::{cholesky, log_det, square, submatrix};
use crate::error::{Error, Result};
use crate::sample::scaling::{normal_scores, standardised};
use crate::sample::{Sample, Variable, VariableKind};
use crate::spec::{Computed, Direct, EstimatorKind, EstimatorSpec};

/// The specification of the closed form of Gaussian variables.
pub static GAUSSIAN: EstimatorSpec = EstimatorSpec {
    name: "gaussian",
    description: "closed form of jointly Gaussian variables with the covariance of the sample",
    source: "Watanabe, Information theoretical analysis of multivariate correlation (1960)",
    lower_bound: false,
    pairs_only: false,
    options: Options::NONE,
    kind: EstimatorKind::Direct(Direct {
        compute: |_, sample| Ok(Computed::new(Gaussian::information_of(sample)?)),
        operations: |rows, columns| {
            let all = columns.iter().sum::<usize>() as f64;
            4.0 * rows as f64 * all * all
        },
    }),
};

/// A Gaussian distribution of several coordinates, by its covariance.
///
/// ```
/// use tcmax_estimators::Gaussian;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let pair = Gaussian::new(vec![1.0, 0.6, 0.6, 1.0])?;
/// let truth = -0.5 * (1f64 - 0.36).ln();
/// assert!((pair.total_correlation(&[&[0], &[1]])? - truth).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Gaussian {
    covariance: Vec<f64>,
    dim: usize,
}

impl Gaussian {
    /// A distribution with the given covariance, d x d row by row.
    ///
    /// # Errors
    /// When the matrix is not square, symmetric (to 1e-9 of its largest entry) and positive definite.
    pub fn new(covariance: Vec<f64>) -> Result<Self> {
        let refuse = |reason: String| Err(Error::NotACovariance { reason });
        let dim = covariance.len().isqrt();
        if dim == 0 || dim * dim != covariance.len() {
            return refuse(format!("{} entries are not a square", covariance.len()));
        }
        let largest = covariance.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
        for i in 0..dim {
            for j in 0..i {
                let difference = (covariance[i * dim + j] - covariance[j * dim + i]).abs();
                if difference > 1e-9 * largest {
                    return refuse(format!("entries ({i}, {j}) and ({j}, {i}) differ"));
                }
            }
        }
        if cholesky(&square(&covariance, dim)).is_none() {
            return refuse("it is not positive definite".to_owned());
        }
        Ok(Self { covariance, dim })
    }

    /// The total correlation that the variables of a sample would have if they were jointly Gaussian
    /// with the sample's covariance, nats. A plug-in value: about (sum of d_a d_b over pairs of
    /// variables) / 2N too high.
    ///
    /// # Errors
    /// When a variable is categorical, or one column is a linear function of others.
    pub fn information_of(sample: &Sample) -> Result<f64> {
        Self::of_columns(sample.variables(), |column| column)
    }

    /// As [`Gaussian::information_of`], of the columns' normal scores (ranks as quantiles of the normal
    /// distribution) instead of their values: the total correlation of the Gaussian copula, which no
    /// outlier moves. Less its bias, as [`Gaussian::information_of`] states it. For variables of one
    /// column each it cannot exceed the truth but by chance, since of all joint distributions with normal
    /// marginals and given correlations the Gaussian one shares least.
    ///
    /// # Errors
    /// As [`Gaussian::information_of`].
    pub fn copula_information_of(sample: &Sample) -> Result<f64> {
        let variables = sample.variables();
        let total: f64 = variables.iter().map(|v| v.width() as f64).sum();
        let within: f64 = variables.iter().map(|v| (v.width() * v.width()) as f64).sum();
        let bias = 0.5 * (total * total - within) / (2.0 * sample.len() as f64);
        Ok(Self::of_columns(variables, normal_scores)? - bias)
    }

    /// The plug-in value after a map of every column.
    fn of_columns(variables: &[Variable], map: fn(Vec<f64>) -> Vec<f64>) -> Result<f64> {
        if let Some(other) = variables.iter().find(|v| v.kind() == VariableKind::Categorical) {
            let reason = format!("variable '{}' is categorical", other.name());
            return Err(Error::NotACovariance { reason });
        }
        let columns: Vec<Vec<f64>> = variables
            .iter()
            .flat_map(|v| (0..v.width()).map(|c| standardised(map(v.column(c).collect()))))
            .collect();
        let n = variables[0].len() as f64;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / n;
        let entries = columns.iter().flat_map(|a| columns.iter().map(move |b| dot(a, b)));
        let gaussian = Self::new(entries.collect())?;
        let mut first = 0;
        let groups = variables.iter().map(|v| {
            first += v.width();
            (first - v.width()..first).collect::<Vec<_>>()
        });
        let groups: Vec<Vec<usize>> = groups.collect();
        gaussian.total_correlation(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// The number of coordinates d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The covariance, d x d row by row.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }

    /// Total correlation of groups of coordinates, each group one variable, nats.
    ///
    /// # Errors
    /// When a coordinate does not exist or is named twice.
    pub fn total_correlation(&self, groups: &[&[usize]]) -> Result<f64> {
        let blocks: f64 = groups.iter().map(|group| self.log_det(group)).sum::<Result<f64>>()?;
        Ok(0.5 * (blocks - self.log_det(&groups.concat())?))
    }

    /// Mutual information I(a; b) of two groups of coordinates, nats.
    ///
    /// # Errors
    /// As [`Gaussian::total_correlation`].
    pub fn mutual_information(&self, a: &[usize], b: &[usize]) -> Result<f64> {
        self.total_correlation(&[a, b])
    }

    /// Conditional mutual information I(a; b | c), nats.
    ///
    /// # Errors
    /// As [`Gaussian::total_correlation`].
    pub fn conditional_mutual_information(
        &self,
        a: &[usize],
        b: &[usize],
        c: &[usize],
    ) -> Result<f64> {
        let joint = self.log_det(&[a, b, c].concat())?;
        let (ac, bc) = (self.log_det(&[a, c].concat())?, self.log_det(&[b, c].concat())?);
        Ok(0.5 * (ac + bc - self.log_det(c)? - joint))
    }

    fn log_det(&self, coordinates: &[usize]) -> Result<f64> {
        if let Some(&index) = coordinates.iter().find(|&&i| i >= self.dim) {
            return Err(Error::NoSuchVariable { index, count: self.dim });
        }
        if coordinates.is_empty() {
            return Ok(0.0);
        }
        let block = submatrix(&square(&self.covariance, self.dim), coordinates);
        let factor = cholesky(&block);
        let factor = factor.ok_or_else(|| Error::NotACovariance {
            reason: format!("coordinates {coordinates:?} repeat, or one determines another"),
        })?;
        Ok(log_det(&factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_rule_holds() {
        let s = vec![2.0, 0.7, 0.3, 0.7, 1.5, -0.4, 0.3, -0.4, 1.0];
        let g = Gaussian::new(s).unwrap();
        let whole = g.mutual_information(&[0, 1], &[2]).unwrap();
        let parts = g.mutual_information(&[0], &[2]).unwrap()
            + g.conditional_mutual_information(&[1], &[2], &[0]).unwrap();
        assert!((whole - parts).abs() < 1e-14);
        let total = g.total_correlation(&[&[0], &[1], &[2]]).unwrap();
        assert!((total - g.mutual_information(&[0], &[1]).unwrap() - whole).abs() < 1e-14);
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        for bad in [vec![], vec![1.0; 3], vec![1.0; 4], vec![1.0, 0.5, 0.1, 1.0], vec![f64::NAN]] {
            assert!(matches!(Gaussian::new(bad), Err(Error::NotACovariance { .. })));
        }
        let g = Gaussian::new(vec![1.0]).unwrap();
        assert!(matches!(g.total_correlation(&[&[1]]), Err(Error::NoSuchVariable { .. })));
    }
}
