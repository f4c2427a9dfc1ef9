//! What the features of two modalities share beyond the class.
//!
//! ```text
//! I(a; b | y) = KL( p(a, b, y) || p(y) p(a | y) p(b | y) )
//!            >= 1/N sum_i T(a_i, b_i) - log mean over pairs within classes of exp T       (nats)
//! T(a, b) = sum_k log N(u_k, v_k; r_k) / (N(u_k) N(v_k))
//!         = sum_k -1/2 log(1 - r_k^2) - (r_k^2 (u_k^2 + v_k^2) - 2 r_k u_k v_k) / (2 (1 - r_k^2))
//! ```
//!
//! u_k and v_k are the leading canonical directions (Hotelling 1936) of the features less the means of their classes, under
//! covariances that are shrunk; there are few of them, and they come from the examples of the fit. Their scales,
//! correlations r_k and a weight of T come from half of the other examples, a correlation within two standard errors of 0
//! being 0, and the value from the other half. The bound is Donsker and Varadhan's (1983); pairs of an example with itself are no draws
//! from the product and do not count.

use ndarray::{Array1, Array2};
use rand::Rng;
use tcmax_ops::Seed;

use super::within::WithinClasses;

/// Canonical directions that the critic sees.
const DIRECTIONS: usize = 4;
/// Directions that are iterated, and how often.
const ITERATED: usize = 8;
const ITERATIONS: usize = 12;
/// Partners within the class of each example at most.
const PARTNERS: usize = 256;
/// Weights of the critic that are tried.
const WEIGHTS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

/// One modality at the fit: what is known of it within classes, and its residuals (N, D).
pub(super) struct Side<'a> {
    pub(super) within: &'a WithinClasses,
    pub(super) residuals: &'a Array2<f64>,
}

impl Side<'_> {
    /// L^-1 R^T B / N for B (N, K).
    fn project(&self, b: &Array2<f64>) -> Array2<f64> {
        self.within.solve_lower(self.residuals.t().dot(b) / b.nrows() as f64)
    }

    /// R L^-T W for directions W (D, K): coordinates (N, K).
    fn coordinates(&self, directions: &Array2<f64>) -> Array2<f64> {
        self.residuals.dot(&self.within.solve_upper(directions.clone()))
    }
}

/// Leading canonical directions of two modalities, (D_a, K) and (D_b, K), for residuals.
pub(super) fn canonical_directions(a: &Side<'_>, b: &Side<'_>) -> [Array2<f64>; 2] {
    let (width, other) = (b.residuals.ncols(), a.residuals.ncols());
    let count = ITERATED.min(width).min(other);
    // A start without meaning, the same on every machine.
    let mut rng = Seed::new(0).stream("canonical directions").rng();
    let mut of_b = Array2::from_shape_fn((width, count), |_| rng.random_range(-1.0..1.0));
    let mut of_a = Array2::zeros((other, count));
    // Power iteration on the whitened cross-covariance: its singular vectors, the leading ones first.
    for _ in 0..ITERATIONS {
        orthonormalise(&mut of_b);
        of_a = a.project(&b.coordinates(&of_b));
        orthonormalise(&mut of_a);
        of_b = b.project(&a.coordinates(&of_a));
    }
    orthonormalise(&mut of_b);
    let kept = count.min(DIRECTIONS);
    let leading = |w: Array2<f64>, side: &Side<'_>| {
        side.within.solve_upper(w.slice(ndarray::s![.., ..kept]).to_owned())
    };
    [leading(of_a, a), leading(of_b, b)]
}

/// Columns made orthogonal to those before, with norm 1 (modified Gram-Schmidt); a column that is none is zeros.
fn orthonormalise(columns: &mut Array2<f64>) {
    for k in 0..columns.ncols() {
        let before = columns.column(k).dot(&columns.column(k)).sqrt();
        for j in 0..k {
            let other = columns.column(j).to_owned();
            let part = other.dot(&columns.column(k));
            columns.column_mut(k).scaled_add(-part, &other);
        }
        let norm = columns.column(k).dot(&columns.column(k)).sqrt();
        let factor = if norm > 1e-10 * before && norm > 0.0 { norm.recip() } else { 0.0 };
        columns.column_mut(k).mapv_inplace(|x| factor * x);
    }
}

/// Coordinates (N, K) of two modalities along their canonical directions.
pub(super) struct Coordinates<'a> {
    pub(super) u: Array2<f64>,
    pub(super) v: Array2<f64>,
    pub(super) labels: &'a [u32],
}

/// A Gaussian critic of pairs.
struct Critic {
    /// Mean and one over the standard deviation of each coordinate.
    scales: [(Array1<f64>, Array1<f64>); 2],
    correlations: Vec<f64>,
    /// The scores of the pairs that it was fitted to lie between these.
    limits: [f64; 2],
}

impl Coordinates<'_> {
    /// The bound on some of the examples, with scales, correlations and weight of the critic from others.
    pub(super) fn bound(&self, fitted: &[usize], measured: &[usize]) -> f64 {
        let critic = self.critic(fitted);
        if critic.correlations.iter().all(|&r| r == 0.0) {
            return 0.0;
        }
        // Features that are far from Gaussian have critics that are too certain.
        let values = WEIGHTS.map(|weight| (weight, self.value(&critic, weight, fitted)));
        let best = values.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let weight = best.filter(|(_, value)| *value > 0.0).map_or(0.0, |(weight, _)| weight);
        if weight > 0.0 { self.value(&critic, weight, measured) } else { 0.0 }
    }

    /// The bound of the critic with a weight, on some of the examples.
    fn value(&self, critic: &Critic, weight: f64, rows: &[usize]) -> f64 {
        let (u, v) = (critic.standard(&self.u, rows, 0), critic.standard(&self.v, rows, 1));
        let mut classes: Vec<Vec<usize>> = Vec::new();
        for (at, &row) in rows.iter().enumerate() {
            let class = self.labels[row] as usize;
            classes.resize_with(classes.len().max(class + 1), Vec::new);
            classes[class].push(at);
        }
        let top = critic.limits[1];
        let (mut examples, mut joint, mut product) = (0usize, 0.0, 0.0);
        for rows in classes.iter().filter(|rows| rows.len() > 1) {
            let partners = PARTNERS.min(rows.len() - 1);
            examples += rows.len();
            for (at, &i) in rows.iter().enumerate() {
                joint += critic.score(&u, i, &v, i);
                let others = (1..=partners).map(|shift| rows[(at + shift) % rows.len()]);
                // No score is above the upper limit.
                let sum: f64 =
                    others.map(|j| (weight * (critic.score(&u, i, &v, j) - top)).exp()).sum();
                product += sum / partners as f64;
            }
        }
        if examples == 0 || product == 0.0 {
            return 0.0;
        }
        let n = examples as f64;
        weight * (joint / n - top) - (product / n).ln()
    }

    fn critic(&self, rows: &[usize]) -> Critic {
        let n = rows.len() as f64;
        let moments = |w: &Array2<f64>| {
            let chosen = w.select(ndarray::Axis(0), rows);
            let mean = chosen.sum_axis(ndarray::Axis(0)) / n;
            let deviation = (chosen - &mean).mapv(|x| x * x).sum_axis(ndarray::Axis(0)) / n;
            let scale = deviation.mapv(|x| if x > 0.0 { x.sqrt().recip() } else { 0.0 });
            (mean, scale)
        };
        let scales = [moments(&self.u), moments(&self.v)];
        let mut critic = Critic { scales, correlations: Vec::new(), limits: [0.0; 2] };
        let (u, v) = (critic.standard(&self.u, rows, 0), critic.standard(&self.v, rows, 1));
        let correlations =
            u.columns().into_iter().zip(v.columns()).map(|(u, v)| believed(u.dot(&v) / n, n));
        critic.correlations = correlations.collect();
        critic.limits = [f64::NEG_INFINITY, f64::INFINITY];
        let scores = (0..rows.len()).map(|i| critic.score(&u, i, &v, i));
        let (low, high) = scores.fold((0.0, 0.0), |(l, h): (f64, f64), t| (l.min(t), h.max(t)));
        critic.limits = [low, high];
        critic
    }
}

/// A correlation of n pairs, less what chance makes of it.
fn believed(r: f64, n: f64) -> f64 {
    if r == 0.0 {
        return 0.0;
    }
    (r * (1.0 - 4.0 / (n * r * r)).max(0.0)).clamp(-0.999, 0.999)
}

impl Critic {
    fn standard(&self, w: &Array2<f64>, rows: &[usize], side: usize) -> Array2<f64> {
        let (mean, scale) = &self.scales[side];
        (w.select(ndarray::Axis(0), rows) - mean) * scale
    }

    fn score(&self, u: &Array2<f64>, i: usize, v: &Array2<f64>, j: usize) -> f64 {
        let terms =
            u.row(i).into_iter().zip(v.row(j)).zip(&self.correlations).map(|((u, v), r)| {
                let rest = 1.0 - r * r;
                -0.5 * rest.ln() - (r * r * (u * u + v * v) - 2.0 * r * u * v) / (2.0 * rest)
            });
        terms.sum::<f64>().clamp(self.limits[0], self.limits[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_repeat_others_vanish() {
        let mut columns = ndarray::arr2(&[[3.0, 6.0, 1.0], [4.0, 8.0, 0.0]]);
        orthonormalise(&mut columns);
        let expected = ndarray::arr2(&[[0.6, 0.0, 0.8], [0.8, 0.0, -0.6]]);
        assert!((columns - expected).iter().all(|x| x.abs() < 1e-12));
    }

    #[test]
    fn correlations_that_chance_explains_are_none() {
        assert_eq!(believed(0.19, 100.0), 0.0);
        assert_eq!(believed(0.0, 100.0), 0.0);
        assert!((believed(-0.8, 100.0) + 0.75).abs() < 1e-12);
    }
}
