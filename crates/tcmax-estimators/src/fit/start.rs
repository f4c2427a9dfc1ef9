//! Critics of a Gaussian copula, where training starts from.
//!
//! log p(u) / prod_m p(u_m) of a Gaussian u with covariance S is u^T Q u + c. In coordinates v = W u that
//! are white within each variable, the covariance is I + M, M being zero within variables, and with
//! M = V diag(l) V^T
//!
//! ```text
//! Q = 1/2 W^T V diag(l / (1 + l)) V^T W,        c = -1/2 sum log(1 + l)
//! ```
//!
//! Of many columns M holds much noise, which costs nats on other examples: about d_a d_b / N of them. It
//! is spread over all eigenvalues, while what variables share is often in a few; so there is a second
//! critic, with the eigenvalues brought down to what they would be without noise.

use ndarray::{Array2, s};

use super::prepared::Prepared;
use crate::exact::linalg::{cholesky, eigen, inverse_of_lower, square, submatrix};
use crate::sample::column::Column;

/// Q, row by row, and c.
pub(super) struct GaussianCritic {
    pub(super) form: Vec<f64>,
    pub(super) constant: f64,
    /// Whether it uses products of columns and norms.
    pub(super) multiplied: bool,
}

/// Beyond so many columns eigenvalues take longer than training.
const MOST_COLUMNS: usize = 600;
/// Eigenvalues of 1 + M are at least this, so that nearly singular covariances stay in range.
const LEAST: f64 = 1e-6;

/// The Gaussian critics of the training split's covariance, on the columns of numbers, on those and the norms, and on
/// the products besides; each as it is and without noise. Empty where a covariance is singular, as with columns that
/// repeat each other.
pub(super) fn gaussian_critics(data: &Prepared) -> Vec<GaussianCritic> {
    let columns = data.columns();
    let has = |kind: Column| columns.iter().flatten().any(|own| *own == kind);
    let mut sets: Vec<&[Column]> = vec![&[Column::Number]];
    if has(Column::Norm) {
        sets.push(&[Column::Number, Column::Norm]);
    }
    if has(Column::Product) {
        sets.push(&[Column::Number, Column::Norm, Column::Product]);
    }
    let mut critics = Vec::new();
    let mut covariance = None;
    for set in sets {
        let blocks = blocks(&columns, &|kind| set.contains(&kind));
        if blocks.iter().map(Vec::len).sum::<usize>() > MOST_COLUMNS {
            continue;
        }
        let covariance = covariance.get_or_insert_with(|| {
            let covariance = data.training_covariance();
            square(&covariance, covariance.len().isqrt())
        });
        let multiplied = set.contains(&Column::Product);
        let found = critics_of(covariance, &blocks, data.training.len()).unwrap_or_default();
        critics.extend(found.into_iter().map(|critic| GaussianCritic { multiplied, ..critic }));
    }
    critics
}

/// The indices of some columns of each variable among all columns; variables without such columns are left
/// out.
fn blocks(columns: &[Vec<Column>], takes: &dyn Fn(Column) -> bool) -> Vec<Vec<usize>> {
    let mut blocks = Vec::new();
    let mut first = 0;
    for kinds in columns {
        let block = (0..kinds.len()).filter(|&i| takes(kinds[i])).map(|i| first + i);
        blocks.push(block.collect::<Vec<_>>());
        first += kinds.len();
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The critics of some columns, in variables, as observed and without noise.
fn critics_of(
    covariance: &Array2<f64>,
    blocks: &[Vec<usize>],
    examples: usize,
) -> Option<Vec<GaussianCritic>> {
    let (dim, all) = (covariance.nrows(), blocks.concat());
    if blocks.len() < 2 {
        return None;
    }
    let covariance = submatrix(covariance, &all);
    let sizes: Vec<usize> = blocks.iter().map(Vec::len).collect();
    let (white, shared) = whiten(&covariance, &sizes)?;
    let (values, vectors) = eigen(shared)?;
    let noise = Noise::of(&sizes, examples);
    let critic = |shrink: &dyn Fn(f64) -> f64| {
        let values = values.mapv(|l| shrink(l).max(LEAST - 1.0));
        let constant = -0.5 * values.iter().map(|l| l.ln_1p()).sum::<f64>();
        let scaled = &vectors * &values.mapv(|l| 0.5 * l / (1.0 + l));
        let own = white.t().dot(&scaled.dot(&vectors.t())).dot(&white);
        let mut form = vec![0.0; dim * dim];
        for (a, &i) in all.iter().enumerate() {
            for (b, &j) in all.iter().enumerate() {
                form[i * dim + j] = own[(a, b)];
            }
        }
        GaussianCritic { form, constant, multiplied: false }
    };
    Some(vec![critic(&|l| l), critic(&|l| noise.shrink(l))])
}

/// W, and M = W S W^T - I, for variables of the given widths.
fn whiten(covariance: &Array2<f64>, sizes: &[usize]) -> Option<(Array2<f64>, Array2<f64>)> {
    let dim: usize = sizes.iter().sum();
    let mut white = Array2::zeros((dim, dim));
    let mut first = 0;
    for &size in sizes {
        let own: Vec<usize> = (first..first + size).collect();
        let inverse = inverse_of_lower(&cholesky(&submatrix(covariance, &own))?)?;
        white.slice_mut(s![first..first + size, first..first + size]).assign(&inverse);
        first += size;
    }
    let shared = white.dot(covariance).dot(&white.t());
    // Exactly symmetric, for the eigenvalues.
    let shared = (&shared + &shared.t()) * 0.5 - Array2::<f64>::eye(dim);
    Some((white, shared))
}

/// What chance does to the eigenvalues of M.
enum Noise {
    /// Of two variables they are +- the canonical correlations; with columns per example.
    Pair([f64; 2]),
    /// Of more, chance alone spreads them over +- this.
    Spread(f64),
}

impl Noise {
    fn of(sizes: &[usize], examples: usize) -> Self {
        let n = examples as f64;
        if let [a, b] = *sizes {
            return Self::Pair([a as f64 / n, b as f64 / n]);
        }
        let total: f64 = sizes.iter().map(|&size| size as f64).sum();
        let within: f64 = sizes.iter().map(|&size| (size * size) as f64).sum();
        Self::Spread(2.0 * ((total - within / total) / n).sqrt())
    }

    /// The best estimate of an eigenvalue without noise, from an observed one.
    ///
    /// Of a pair, r^2 = (p (1 - a) + a) (p (1 - b) + b) / p for many columns with the true p = rho^2 (Bao,
    /// Hu, Pan and Zhou 2019), solved for p; then times the cosines between true and observed directions,
    /// 1 - a (1 - p) / p each in square. Otherwise sqrt(l^2 - edge^2) (Gavish and Donoho 2017).
    fn shrink(&self, l: f64) -> f64 {
        match *self {
            Self::Spread(edge) => l.signum() * (l * l - edge * edge).max(0.0).sqrt(),
            Self::Pair([a, b]) => {
                let both = (1.0 - a) * (1.0 - b);
                let rest = l * l - a * (1.0 - b) - b * (1.0 - a);
                let root = rest * rest - 4.0 * both * a * b;
                if rest <= 0.0 || root <= 0.0 {
                    return 0.0;
                }
                let p = ((rest + root.sqrt()) / (2.0 * both)).min(1.0);
                let cosine = |share: f64| (1.0 - share * (1.0 - p) / p).max(0.0);
                l.signum() * (p * cosine(a) * cosine(b)).sqrt()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_removes_noise_and_keeps_what_is_strong() {
        for noise in [Noise::of(&[20, 20], 5000), Noise::of(&[20, 20, 20], 5000)] {
            assert_eq!(noise.shrink(0.1), 0.0);
            assert!((noise.shrink(0.95) - 0.95).abs() < 0.03);
            assert_eq!(noise.shrink(-0.5), -noise.shrink(0.5));
            let ladder: Vec<f64> = (0..100).map(|i| noise.shrink(0.01 * f64::from(i))).collect();
            assert!(ladder.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
        }
    }

    #[test]
    fn white_coordinates_leave_only_what_is_shared() {
        let covariance = [2.0, 0.3, 0.4, 0.3, 1.0, 0.2, 0.4, 0.2, 1.5];
        let (_, shared) = whiten(&square(&covariance, 3), &[2, 1]).unwrap();
        for place in [(0, 0), (0, 1), (1, 1), (2, 2)] {
            assert!(shared[place].abs() < 1e-14);
        }
        assert!(shared[(0, 2)].abs() > 0.1);
        let repeated = square(&[1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0], 3);
        assert!(whiten(&repeated, &[2, 1]).is_none());
    }
}
