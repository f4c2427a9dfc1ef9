//! Invertible maps that bring variables to a common scale.
//!
//! Information does not change under invertible maps of single variables, so a fit may choose the map
//! that suits its critic. Maps are made from the training split alone and are strictly increasing on the
//! whole line, so that nothing is lost on data they have not seen.

use super::column::{Column, Scaling};
use super::monotone::Monotone;
use super::numbers::Numbers;
use super::variable::{Variable, VariableKind};

/// The fitted map of one variable.
pub(crate) enum Map {
    /// Numbers, with what is made of them.
    Numbers(Numbers),
    /// One indicator column per class, or one for several rare ones: the column of each class, and the
    /// number of columns.
    Indicators { column_of: Vec<usize>, columns: usize },
}

impl Map {
    /// The map of `variable` made from its rows `training`, with the norms of several columns if `norms`, and at most
    /// `most_classes` indicator columns.
    pub(crate) fn fit(
        scaling: Scaling,
        norms: bool,
        most_classes: usize,
        variable: &Variable,
        training: &[usize],
    ) -> Self {
        match (variable.kind(), variable.classes()) {
            (VariableKind::Categorical, Some(classes)) => {
                Self::indicators(classes, most_classes, variable, training)
            }
            _ => Self::Numbers(Numbers::fit(scaling, norms, variable, training)),
        }
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
            Self::Numbers(numbers) => numbers.columns(),
            Self::Indicators { columns, .. } => vec![Column::Indicator; *columns],
        }
    }

    /// All rows of the variable, mapped.
    pub(crate) fn apply(&self, variable: &Variable) -> Vec<f32> {
        let mut values = Vec::with_capacity(variable.len() * self.columns().len());
        match self {
            Self::Numbers(numbers) => {
                let rows = variable.values().chunks_exact(variable.width());
                rows.for_each(|row| numbers.apply(row, &mut values));
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
