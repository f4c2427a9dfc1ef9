//! A Gaussian critic of two modalities' canonical coordinates.
//!
//! ```text
//! T(u, v) = sum_k -1/2 log(1 - r_k^2) - (r_k^2 (u_k^2 + v_k^2) - 2 r_k u_k v_k) / (2 (1 - r_k^2))
//!         = c - sum_k a_k u_k^2 - sum_k a_k v_k^2 + sum_k b_k u_k v_k
//! ```
//!
//! The squares belong to one example each and are summed once; a pair then costs K products.

use ndarray::{Array1, Array2, Axis};

/// Canonical directions that it sees at most.
pub(super) const DIRECTIONS: usize = 4;
/// Weights w of the critic that are tried, the multiples of the first: exp(w T) is a power of exp(T / 4).
const WEIGHTS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// Partners within the class of each example at most.
const PARTNERS: usize = 256;

/// Coordinates (N, K) of two modalities along their canonical directions.
pub(super) struct Coordinates<'a> {
    pub(super) u: Array2<f64>,
    pub(super) v: Array2<f64>,
    pub(super) labels: &'a [u32],
}

impl Coordinates<'_> {
    /// The bound on some of the examples, with scales, correlations and weight of the critic from others.
    pub(super) fn bound(&self, fitted: &[usize], measured: &[usize]) -> f64 {
        let critic = Critic::of(self, fitted);
        if critic.is_blind() {
            return 0.0;
        }
        // Features that are far from Gaussian have critics that are too certain.
        let values = critic.values(self, fitted);
        let best = (0..WEIGHTS.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]));
        best.filter(|&n| values[n] > 0.0).map_or(0.0, |n| critic.values(self, measured)[n])
    }
}

/// The critic.
struct Critic {
    /// Mean and one over the standard deviation of each coordinate.
    scales: [(Array1<f64>, Array1<f64>); 2],
    correlations: Array1<f64>,
    /// The scores of the pairs that it was fitted to lie between these.
    limits: [f64; 2],
}

/// Pairs of some examples as the critic sees them.
struct Pairs {
    /// c - sum_k a_k u_k^2 and - sum_k a_k v_k^2 of each example.
    own: [Vec<f64>; 2],
    /// b_k u_k and v_k of each example; 0 for directions that there are not.
    products: [Vec<[f64; DIRECTIONS]>; 2],
    limits: [f64; 2],
}

impl Critic {
    /// The critic with scales and correlations of some of the examples.
    fn of(coordinates: &Coordinates<'_>, rows: &[usize]) -> Self {
        let n = rows.len() as f64;
        let moments = |w: &Array2<f64>| {
            let chosen = w.select(Axis(0), rows);
            let mean = chosen.sum_axis(Axis(0)) / n;
            let deviation = (chosen - &mean).mapv(|x| x * x).sum_axis(Axis(0)) / n;
            let scale = deviation.mapv(|x| if x > 0.0 { x.sqrt().recip() } else { 0.0 });
            (mean, scale)
        };
        let scales = [moments(&coordinates.u), moments(&coordinates.v)];
        let limits = [f64::NEG_INFINITY, f64::INFINITY];
        let mut critic = Self { scales, correlations: Array1::zeros(0), limits };
        let [u, v] = critic.standard(coordinates, rows);
        let correlations = u.columns().into_iter().zip(v.columns());
        critic.correlations = correlations.map(|(u, v)| believed(u.dot(&v) / n, n)).collect();
        let pairs = critic.pairs(coordinates, rows);
        let scores = (0..rows.len()).map(|i| pairs.score(i, i));
        critic.limits =
            scores.fold([0.0, 0.0], |[low, high]: [f64; 2], t| [low.min(t), high.max(t)]);
        critic
    }

    /// Whether it sees no correlation.
    fn is_blind(&self) -> bool {
        self.correlations.iter().all(|&r| r == 0.0)
    }

    /// The bounds of the critic with each of the [`WEIGHTS`], nats, on some of the examples.
    fn values(&self, coordinates: &Coordinates<'_>, rows: &[usize]) -> [f64; 4] {
        let pairs = self.pairs(coordinates, rows);
        let top = self.limits[1];
        let (mut examples, mut joint, mut product) = (0usize, 0.0, [0.0; 4]);
        let classes = classes(coordinates.labels, rows);
        for members in classes.iter().filter(|members| members.len() > 1) {
            let partners = PARTNERS.min(members.len() - 1);
            examples += members.len();
            for (at, &i) in members.iter().enumerate() {
                joint += pairs.score(i, i);
                let mut sums = [0.0; 4];
                for shift in 1..=partners {
                    let j = members[(at + shift) % members.len()];
                    // No score is above the upper limit.
                    let quarter = (WEIGHTS[0] * (pairs.score(i, j) - top)).exp();
                    let half = quarter * quarter;
                    let powers = [quarter, half, half * quarter, half * half];
                    sums.iter_mut().zip(powers).for_each(|(sum, power)| *sum += power);
                }
                let mean = |sum: f64| sum / partners as f64;
                product.iter_mut().zip(sums).for_each(|(total, sum)| *total += mean(sum));
            }
        }
        let n = examples as f64;
        std::array::from_fn(|k| match product[k] > 0.0 {
            true => WEIGHTS[k] * (joint / n - top) - (product[k] / n).ln(),
            // No class with two examples, or pairs that are all too unlikely for a number.
            false => 0.0,
        })
    }

    fn standard(&self, coordinates: &Coordinates<'_>, rows: &[usize]) -> [Array2<f64>; 2] {
        let of = |w: &Array2<f64>, (mean, scale): &(Array1<f64>, Array1<f64>)| {
            (w.select(Axis(0), rows) - mean) * scale
        };
        [of(&coordinates.u, &self.scales[0]), of(&coordinates.v, &self.scales[1])]
    }

    fn pairs(&self, coordinates: &Coordinates<'_>, rows: &[usize]) -> Pairs {
        let [u, v] = self.standard(coordinates, rows);
        let constant: f64 = self.correlations.iter().map(|r| -0.5 * (1.0 - r * r).ln()).sum();
        let a = self.correlations.mapv(|r| r * r / (2.0 * (1.0 - r * r)));
        let b = self.correlations.mapv(|r| r / (1.0 - r * r));
        let of_squares = |w: &Array2<f64>, constant: f64| {
            w.mapv(|x| x * x).dot(&a).iter().map(|sum| constant - sum).collect()
        };
        let own = [of_squares(&u, constant), of_squares(&v, 0.0)];
        Pairs { own, products: [padded(&(u * &b)), padded(&v)], limits: self.limits }
    }
}

impl Pairs {
    fn score(&self, i: usize, j: usize) -> f64 {
        let [u, v] = [&self.products[0][i], &self.products[1][j]];
        let products: f64 = u.iter().zip(v).map(|(u, v)| u * v).sum();
        (self.own[0][i] + self.own[1][j] + products).clamp(self.limits[0], self.limits[1])
    }
}

fn padded(w: &Array2<f64>) -> Vec<[f64; DIRECTIONS]> {
    let of_row = |row: ndarray::ArrayView1<'_, f64>| {
        std::array::from_fn(|k| row.get(k).copied().unwrap_or(0.0))
    };
    w.rows().into_iter().map(of_row).collect()
}

/// The positions in `rows` of each class's examples.
fn classes(labels: &[u32], rows: &[usize]) -> Vec<Vec<usize>> {
    let mut classes: Vec<Vec<usize>> = Vec::new();
    for (at, &row) in rows.iter().enumerate() {
        let class = labels[row] as usize;
        classes.resize_with(classes.len().max(class + 1), Vec::new);
        classes[class].push(at);
    }
    classes
}

/// A correlation of n pairs, less what chance makes of it.
fn believed(r: f64, n: f64) -> f64 {
    if r == 0.0 {
        return 0.0;
    }
    (r * (1.0 - 4.0 / (n * r * r)).max(0.0)).clamp(-0.999, 0.999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_values_are_donsker_and_varadhans_bounds() {
        // Coordinates of ten examples of two classes; the pairs of a class but those of an example with itself.
        let at = |i: usize, k: usize| ((7 * i + 3 * k) % 10) as f64 / 3.0;
        let u = Array2::from_shape_fn((10, 2), |(i, k)| at(i, k));
        let v = Array2::from_shape_fn((10, 2), |(i, k)| at(i, k) + at(3 * i, k + 1) / 4.0);
        let labels = [0, 0, 0, 1, 1, 0, 1, 0, 1, 0];
        let coordinates = Coordinates { u, v, labels: &labels };
        let rows: Vec<usize> = (0..10).collect();
        let critic = Critic::of(&coordinates, &rows);
        assert!(critic.correlations.iter().all(|r| r.abs() > 0.3), "{}", critic.correlations);
        let [u, v] = critic.standard(&coordinates, &rows);
        let score = |i: usize, j: usize| {
            let of_direction = |k: usize| {
                let (u, v, r) = (u[(i, k)], v[(j, k)], critic.correlations[k]);
                let rest = 1.0 - r * r;
                -0.5 * rest.ln() - (r * r * (u * u + v * v) - 2.0 * r * u * v) / (2.0 * rest)
            };
            (0..2).map(of_direction).sum::<f64>().clamp(critic.limits[0], critic.limits[1])
        };
        for (weight, found) in WEIGHTS.into_iter().zip(critic.values(&coordinates, &rows)) {
            let joint = (0..10).map(|i| weight * score(i, i)).sum::<f64>() / 10.0;
            let of_example = |i: usize| {
                let partners = (0..10).filter(|&j| j != i && labels[j] == labels[i]);
                let scores: Vec<f64> = partners.map(|j| (weight * score(i, j)).exp()).collect();
                scores.iter().sum::<f64>() / scores.len() as f64
            };
            let product = (0..10).map(of_example).sum::<f64>() / 10.0;
            let expected = joint - product.ln();
            assert!((found - expected).abs() < 1e-12, "{weight}: {found} {expected}");
        }
    }

    #[test]
    fn correlations_that_chance_explains_are_none() {
        assert_eq!(believed(0.19, 100.0), 0.0);
        assert_eq!(believed(0.0, 100.0), 0.0);
        assert!((believed(-0.8, 100.0) + 0.75).abs() < 1e-12);
    }
}
