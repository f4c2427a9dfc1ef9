//! Strictly increasing maps of the line, by ranks or by mean and deviation; and laws of heavier tails.

use statrs::function::erf::{erfc, erfc_inv};

/// A strictly increasing map of the line: linear between knots, logarithmic beyond them.
pub(crate) struct Monotone {
    /// (x, z), both increasing.
    knots: Vec<(f64, f64)>,
    /// Rise and width of the logarithms below and above: z = edge +- rise log(1 + distance / width).
    tails: [(f64, f64); 2],
}

impl Monotone {
    /// Knots at every distinct value, at the normal quantile of its mean rank.
    pub(super) fn ranks(mut values: Vec<f64>) -> Self {
        let n = values.len();
        values.sort_by(f64::total_cmp);
        let mut knots: Vec<(f64, f64)> = Vec::with_capacity(n);
        let mut start = 0;
        while start < n {
            let end = start + values[start..].partition_point(|&x| x <= values[start]);
            let rank = (start + end) as f64 / (2 * n) as f64;
            knots.push((values[start], normal_quantile(rank)));
            start = end.max(start + 1);
        }
        Self::through(knots)
    }

    pub(super) fn z_score(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        // Far knots: what lies between is mapped linearly.
        let far = 1e6;
        Self::through(vec![(mean - far * scale, -far), (mean + far * scale, far)])
    }

    fn through(knots: Vec<(f64, f64)>) -> Self {
        let last = knots.len() - 1;
        let tenth = last.div_ceil(10);
        // As steep at the edge as the outermost tenth is on average.
        let tail = |edge: usize, inner: usize| {
            let (dx, dz) = (knots[edge].0 - knots[inner].0, knots[edge].1 - knots[inner].1);
            if dx == 0.0 { (1.0, 1.0) } else { (dz.abs(), dx.abs()) }
        };
        let tails = [tail(0, tenth), tail(last, last - tenth)];
        Self { knots, tails }
    }

    pub(super) fn at(&self, x: f64) -> f64 {
        let (first, last) = (self.knots[0], self.knots[self.knots.len() - 1]);
        if x <= first.0 {
            let (rise, width) = self.tails[0];
            return first.1 - rise * ((first.0 - x) / width).ln_1p();
        }
        if x >= last.0 {
            let (rise, width) = self.tails[1];
            return last.1 + rise * ((x - last.0) / width).ln_1p();
        }
        let above = self.knots.partition_point(|knot| knot.0 <= x);
        let ((x0, z0), (x1, z1)) = (self.knots[above - 1], self.knots[above]);
        z0 + (z1 - z0) * ((x - x0) / (x1 - x0))
    }
}

/// The law that normal scores are brought to before their norm is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Normal.
    Normal,
    /// Student's t with two degrees of freedom.
    Student2,
    /// Cauchy's, Student's t with one.
    Cauchy,
}

impl Tail {
    /// The quantile of the law at the level at which z is the normal one's.
    pub(crate) fn of(self, z: f64) -> f64 {
        // Of the tail beyond z, which is exact far out where the level itself is 1.
        let beyond = 0.5 * erfc(z.abs().min(FARTHEST) / std::f64::consts::SQRT_2);
        let size = match self {
            Self::Normal => return z,
            Self::Student2 => (1.0 - 2.0 * beyond) / (2.0 * beyond * (1.0 - beyond)).sqrt(),
            Self::Cauchy => 1.0 / (std::f64::consts::PI * beyond).tan(),
        };
        size.max(0.0).copysign(z)
    }
}

/// Scores beyond this have no level that a number holds.
const FARTHEST: f64 = 30.0;

/// The x below which a standard normal variable lies with probability p.
pub(super) fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_become_normal_and_the_map_keeps_the_order_everywhere() {
        let values: Vec<f64> = (0..999).map(|i| (0.1 * f64::from(i)).exp2()).collect();
        let map = Monotone::ranks(values);
        assert!(map.at(49.9f64.exp2()).abs() < 1e-9);
        let far = [-1e9, -1.0, 0.0, 1.0, 1.5, 2.0, 1e9, 1e29, 1e30, 1e32];
        let mapped: Vec<f64> = far.iter().map(|&x| map.at(x)).collect();
        assert!(mapped.windows(2).all(|pair| pair[0] < pair[1]), "{mapped:?}");
        assert!(mapped.iter().all(|z| z.abs() < 100.0), "{mapped:?}");
    }

    #[test]
    fn z_scores_are_linear() {
        let map = Monotone::z_score(&[1.0, 3.0]);
        assert!((map.at(2.0)).abs() < 1e-9 && (map.at(4.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn heavier_tails_have_their_quantiles() {
        // Levels 3/4 and 0.995 of the t laws, from tables.
        let (quarter, far) = (normal_quantile(0.75), normal_quantile(0.995));
        for (tail, wanted) in [(Tail::Cauchy, [1.0, 63.6567]), (Tail::Student2, [0.8165, 9.9248])] {
            assert!((tail.of(quarter) - wanted[0]).abs() < 1e-4, "{}", tail.of(quarter));
            assert!((tail.of(-far) + wanted[1]).abs() < 1e-3, "{}", tail.of(-far));
            assert_eq!(tail.of(0.0).abs(), 0.0);
            assert!(tail.of(1e9).is_finite() && tail.of(20.0) < tail.of(29.0));
        }
    }
}
