//! Invertible maps that bring variables to a common scale.
//!
//! Information does not change under invertible maps of single variables, so a fit may choose the map
//! that suits its critic. Maps are made from the training part alone and are strictly increasing on the
//! whole line, so that nothing is lost on data they have not seen.

use statrs::function::erf::erfc_inv;

use crate::{Variable, VariableKind};

/// How continuous columns are scaled; categorical variables always become indicator columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Each column's ranks to quantiles of the normal distribution: heavy tails and outliers vanish,
    /// and what is left of a joint distribution is its copula.
    #[default]
    RankGaussian,
    /// Each column to mean 0 and variance 1.
    ZScore,
}

/// What a column of a mapped variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// A column of numbers, mapped.
    Number,
    /// The norm of the row's numbers, mapped to a normal distribution.
    Norm,
    /// Whether a categorical variable has one of its values.
    Indicator,
}

/// The fitted map of one variable.
pub(crate) enum Map {
    /// A map a column, and that of the norm if it is wanted.
    Numbers { columns: Vec<Monotone>, norm: Option<Monotone> },
    /// So many classes.
    Indicators(usize),
}

impl Map {
    /// The map of `variable` as its rows `training` tell, with the norm of several columns if `norms`.
    pub(crate) fn fit(
        scaling: Scaling,
        norms: bool,
        variable: &Variable,
        training: &[usize],
    ) -> Self {
        if let (VariableKind::Categorical, Some(classes)) = (variable.kind(), variable.classes()) {
            return Self::Indicators(classes);
        }
        let width = variable.width();
        let column = |c: usize| {
            let of_row = |&row: &usize| variable.values()[row * width + c];
            let values: Vec<f64> = training.iter().map(of_row).collect();
            match scaling {
                Scaling::RankGaussian => Monotone::ranks(values),
                Scaling::ZScore => Monotone::z_score(&values),
            }
        };
        let columns: Vec<Monotone> = (0..width).map(column).collect();
        let norm = (norms && width > 1).then(|| {
            let of_row = |&row: &usize| {
                let values = &variable.values()[row * width..][..width];
                norm(columns.iter().zip(values).map(|(map, &x)| map.at(x)))
            };
            Monotone::ranks(training.iter().map(of_row).collect())
        });
        Self::Numbers { columns, norm }
    }

    /// The columns after the map.
    pub(crate) fn columns(&self) -> Vec<Column> {
        match self {
            Self::Numbers { columns, norm } => {
                let mut kinds = vec![Column::Number; columns.len()];
                kinds.extend(norm.as_ref().map(|_| Column::Norm));
                kinds
            }
            Self::Indicators(classes) => vec![Column::Indicator; *classes],
        }
    }

    /// All rows of the variable, mapped.
    pub(crate) fn apply(&self, variable: &Variable) -> Vec<f32> {
        let mut values = Vec::with_capacity(variable.len() * self.columns().len());
        match self {
            Self::Numbers { columns, norm: norm_map } => {
                for row in variable.values().chunks_exact(columns.len()) {
                    let start = values.len();
                    values.extend(row.iter().zip(columns).map(|(&x, map)| map.at(x) as f32));
                    if let Some(map) = norm_map {
                        let norm = norm(values[start..].iter().map(|&z| f64::from(z)));
                        values.push(map.at(norm) as f32);
                    }
                }
            }
            Self::Indicators(classes) => {
                for &class in variable.values() {
                    values.extend((0..*classes).map(|c| f32::from(u8::from(c == class as usize))));
                }
            }
        }
        values
    }
}

/// The Euclidean norm.
fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|z| z * z).sum::<f64>().sqrt()
}

/// A strictly increasing map of the line: linear between knots, logarithmic beyond them.
pub(crate) struct Monotone {
    /// (x, z), both increasing.
    knots: Vec<(f64, f64)>,
    /// Rise and width of the logarithms below and above: z = edge +- rise log(1 + distance / width).
    tails: [(f64, f64); 2],
}

impl Monotone {
    /// Knots at every distinct value, at the normal quantile of its mean rank.
    fn ranks(mut values: Vec<f64>) -> Self {
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

    fn z_score(values: &[f64]) -> Self {
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

    fn at(&self, x: f64) -> f64 {
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

/// The x below which a standard normal variable lies with probability p.
fn normal_quantile(p: f64) -> f64 {
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
}
