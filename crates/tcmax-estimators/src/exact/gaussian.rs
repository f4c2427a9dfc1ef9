//! Exact information of jointly Gaussian variables, nats.
//!
//! ```text
//! TC = 1/2 (sum_b log det S_bb - log det S),     = -1/2 log det R for single variables
//! I(a; b | c) = 1/2 (log det S_ac + log det S_bc - log det S_c - log det S_abc)
//! ```
//!
//! with the covariance S, its diagonal blocks S_bb, and the correlation matrix R (Watanabe 1960; Cover
//! and Thomas, chapter 8).

use ndarray::Array2;
use tcmax_registry::Options;

use super::linalg::{cholesky, inverse_of_lower, log_det, square, submatrix};
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
        compute: |_, sample| {
            let (gaussian, columns) = Gaussian::of_columns(sample.variables(), |column| column)?;
            let groups = groups(sample.variables());
            let groups: Vec<&[usize]> = groups.iter().map(Vec::as_slice).collect();
            let value = gaussian.total_correlation(&groups)?;
            Ok(Computed::new(value).with_rows(gaussian.log_ratios(&groups, &columns)?))
        },
        operations: |rows, columns| {
            let all = columns.iter().sum::<usize>() as f64;
            8.0 * rows as f64 * all * all
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
        Self::information_of_columns(sample.variables(), |column| column)
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
        Ok(Self::information_of_columns(variables, normal_scores)? - bias)
    }

    /// The plug-in value after a map of every column.
    fn information_of_columns(
        variables: &[Variable],
        map: fn(Vec<f64>) -> Vec<f64>,
    ) -> Result<f64> {
        let groups = groups(variables);
        let groups: Vec<&[usize]> = groups.iter().map(Vec::as_slice).collect();
        Self::of_columns(variables, map)?.0.total_correlation(&groups)
    }

    /// The Gaussian distribution of columns after a map of each, and the columns.
    fn of_columns(
        variables: &[Variable],
        map: fn(Vec<f64>) -> Vec<f64>,
    ) -> Result<(Self, Vec<Vec<f64>>)> {
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
        Ok((Self::new(entries.collect())?, columns))
    }

    /// log p(x) - sum_b log p(x_b) of every row of columns with this covariance and mean 0:
    /// 1/2 (sum_b (log det S_bb + x_b^T S_bb^-1 x_b) - log det S - x^T S^-1 x).
    fn log_ratios(&self, groups: &[&[usize]], columns: &[Vec<f64>]) -> Result<Vec<Option<f64>>> {
        let rows = columns.first().map_or(0, Vec::len);
        let mut ratios = vec![0.0; rows];
        let mut add = |coordinates: &[usize], sign: f64| -> Result<()> {
            let factor = self.factor(coordinates)?;
            let white = inverse_of_lower(&factor).ok_or_else(|| singular(coordinates))?;
            let log_det = log_det(&factor);
            for (row, ratio) in ratios.iter_mut().enumerate() {
                let x = |j: usize| columns[coordinates[j]][row];
                let of_line = |i: usize| (0..=i).map(|j| white[(i, j)] * x(j)).sum::<f64>();
                let square: f64 = (0..coordinates.len()).map(|i| of_line(i).powi(2)).sum();
                *ratio += 0.5 * sign * (log_det + square);
            }
            Ok(())
        };
        groups.iter().try_for_each(|group| add(group, 1.0))?;
        add(&groups.concat(), -1.0)?;
        Ok(ratios.into_iter().map(Some).collect())
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
        Ok(log_det(&self.factor(coordinates)?))
    }

    /// The Cholesky factor of the covariance of some coordinates.
    fn factor(&self, coordinates: &[usize]) -> Result<Array2<f64>> {
        let block = submatrix(&square(&self.covariance, self.dim), coordinates);
        cholesky(&block).ok_or_else(|| singular(coordinates))
    }
}

fn singular(coordinates: &[usize]) -> Error {
    let reason = format!("coordinates {coordinates:?} repeat, or one determines another");
    Error::NotACovariance { reason }
}

/// The columns of each variable, numbered one after the other.
fn groups(variables: &[Variable]) -> Vec<Vec<usize>> {
    let mut first = 0;
    let group = |v: &Variable| {
        first += v.width();
        (first - v.width()..first).collect()
    };
    variables.iter().map(group).collect()
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
