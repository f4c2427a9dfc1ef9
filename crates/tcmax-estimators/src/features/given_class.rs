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

use ndarray::Array2;
use rand::Rng;
use tcmax_ops::Seed;

use super::gaussian_critic::DIRECTIONS;
use super::within::WithinClasses;

/// Directions that are iterated, and how often.
const ITERATED: usize = 8;
const ITERATIONS: usize = 12;

/// Leading canonical directions of two modalities, (D_a, K) and (D_b, K), for residuals whose covariance with each other
/// is `cross` (D_a, D_b).
pub(super) fn canonical_directions(
    [a, b]: [&WithinClasses; 2],
    cross: &Array2<f64>,
) -> [Array2<f64>; 2] {
    let (other, width) = cross.dim();
    let count = ITERATED.min(width).min(other);
    // A start without meaning, the same on every machine.
    let mut rng = Seed::new(0).stream("canonical directions").rng();
    let mut of_b = Array2::from_shape_fn((width, count), |_| rng.random_range(-1.0..1.0));
    let mut of_a = Array2::zeros((other, count));
    // Power iteration on the whitened cross-covariance L_a^-1 C L_b^-T: its singular vectors, the leading ones first.
    for _ in 0..ITERATIONS {
        orthonormalise(&mut of_b);
        of_a = a.solve_lower(cross.dot(&b.solve_upper(of_b)));
        orthonormalise(&mut of_a);
        of_b = b.solve_lower(cross.t().dot(&a.solve_upper(of_a.clone())));
    }
    orthonormalise(&mut of_b);
    let kept = count.min(DIRECTIONS);
    let leading = |w: &Array2<f64>, of: &WithinClasses| {
        of.solve_upper(w.slice(ndarray::s![.., ..kept]).to_owned())
    };
    [leading(&of_a, a), leading(&of_b, b)]
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
}
