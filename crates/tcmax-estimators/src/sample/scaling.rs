//! Invertible maps that bring variables to a common scale.
//!
//! Information does not change under invertible maps of single variables, so a fit may choose the map
//! that suits its critic. Maps are made from the training split alone and are strictly increasing on the
//! whole line, so that nothing is lost on data they have not seen.

use statrs::function::erf::erfc_inv;

use super::variable::{Variable, VariableKind};

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
    /// Whether a categorical variable has one of its values, or one of its rare ones.
    Indicator,
}

/// The fitted map of one variable.
pub(crate) enum Map {
    /// One map per column, and one of the norm if it is wanted.
    Numbers { columns: Vec<Monotone>, norm: Option<Monotone> },
    /// One indicator column per class, or one for several rare ones: the column of each class, and the
    /// number of columns.
    Indicators { column_of: Vec<usize>, columns: usize },
}

impl Map {
    /// The map of `variable` made from its rows `training`, with the norm of several columns if `norms`,
    /// and at most `most_classes` indicator columns.
    pub(crate) fn fit(
        scaling: Scaling,
        norms: bool,
        most_classes: usize,
        variable: &Variable,
        training: &[usize],
    ) -> Self {
        if let (VariableKind::Categorical, Some(classes)) = (variable.kind(), variable.classes()) {
            return Self::indicators(classes, most_classes, variable, training);
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

    /// The most frequent classes of the training rows get a column each; of more than `most` all others
    /// share the last. Merging classes can only lose information, so bounds remain bounds.
    fn indicators(classes: usize, most: usize, variable: &Variable, training: &[usize]) -> Self {
        if classes <= most {
            return Self::Indicators { column_of: (0..classes).collect(), columns: classes };
        }
        let mut counts = vec![0usize; classes];
        // Where a class first occurs decides between equally frequent ones, not its number.
        let mut first = vec![usize::MAX; classes];
        for (position, &row) in training.iter().enumerate() {
            let class = variable.values()[row] as usize;
            counts[class] += 1;
            first[class] = first[class].min(position);
        }
        let mut order: Vec<usize> = (0..classes).collect();
        order.sort_by_key(|&class| (std::cmp::Reverse(counts[class]), first[class]));
        let mut column_of = vec![most - 1; classes];
        order[..most - 1].iter().enumerate().for_each(|(column, &class)| column_of[class] = column);
        Self::Indicators { column_of, columns: most }
    }

    /// The fraction of the rows whose class shares its column with others; 0 for numbers.
    pub(crate) fn merged_share(&self, variable: &Variable) -> f64 {
        match self {
            Self::Indicators { column_of, columns } if column_of.len() > *columns => {
                let merged = |&&class: &&f64| column_of[class as usize] == columns - 1;
                variable.values().iter().filter(merged).count() as f64 / variable.len() as f64
            }
            _ => 0.0,
        }
    }

    /// The columns after the map.
    pub(crate) fn columns(&self) -> Vec<Column> {
        match self {
            Self::Numbers { columns, norm } => {
                let mut kinds = vec![Column::Number; columns.len()];
                kinds.extend(norm.as_ref().map(|_| Column::Norm));
                kinds
            }
            Self::Indicators { columns, .. } => vec![Column::Indicator; *columns],
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
            Self::Indicators { column_of, columns } => {
                for &class in variable.values() {
                    let own = column_of[class as usize];
                    values.extend((0..*columns).map(|c| f32::from(u8::from(c == own))));
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

/// Values at mean 0 and variance 1; a constant becomes zeros.
pub(crate) fn standardised(mut values: Vec<f64>) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let scale = variance.sqrt().max(f64::MIN_POSITIVE);
    values.iter_mut().for_each(|x| *x = (*x - mean) / scale);
    values
}

/// Ranks as quantiles of the normal distribution; equal values have equal ones.
pub(crate) fn normal_scores(values: Vec<f64>) -> Vec<f64> {
    let map = Monotone::ranks(values.clone());
    values.into_iter().map(|x| map.at(x)).collect()
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
    fn rare_classes_share_a_column() {
        // Class c occurs 6 - c times.
        let values: Vec<f64> = (0..6).flat_map(|c| vec![f64::from(c); 6 - c as usize]).collect();
        let variable = Variable::categorical("c", &values).unwrap();
        let rows: Vec<usize> = (0..values.len()).collect();
        let all = Map::fit(Scaling::ZScore, false, 6, &variable, &rows);
        assert_eq!((all.columns().len(), all.merged_share(&variable)), (6, 0.0));
        let some = Map::fit(Scaling::ZScore, false, 3, &variable, &rows);
        let mapped = some.apply(&variable);
        assert_eq!(mapped[..3], [1.0, 0.0, 0.0]);
        assert_eq!(mapped[6 * 3..7 * 3], [0.0, 1.0, 0.0]);
        assert_eq!(mapped[mapped.len() - 3..], [0.0, 0.0, 1.0]);
        assert!((some.merged_share(&variable) - 10.0 / 21.0).abs() < 1e-15);
    }

    #[test]
    fn z_scores_are_linear() {
        let map = Monotone::z_score(&[1.0, 3.0]);
        assert!((map.at(2.0)).abs() < 1e-9 && (map.at(4.0) - 2.0).abs() < 1e-9);
    }
}
