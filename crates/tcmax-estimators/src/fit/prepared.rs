//! A sample, scaled and split.

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use super::config::FitConfig;
use crate::error::{Error, Result};
use crate::sample::Sample;
use crate::sample::column::Column;
use crate::sample::scaling::Map;

/// Fewest examples a fit accepts: 22 train, 6 validate, 12 test.
pub(super) const FEWEST: usize = 40;

/// Examples in the validation split, at most: it is scored some forty times in a fit.
const MOST_VALIDATION: usize = 20_000;

/// Examples in the test split, at most.
const MOST_TEST: usize = 100_000;

/// The three splits, as row numbers, and all rows, scaled.
pub(super) struct Prepared {
    pub(super) training: Vec<usize>,
    pub(super) validation: Vec<usize>,
    pub(super) test: Vec<usize>,
    variables: Vec<Scaled>,
    /// Names of categorical variables with more classes than columns, their numbers of classes, and the
    /// fractions of the rows whose classes share a column.
    pub(super) merged: Vec<(String, usize, f64)>,
}

/// One variable after its map.
struct Scaled {
    values: Vec<f32>,
    width: usize,
    columns: Vec<Column>,
}

impl Scaled {
    fn without_products(self) -> Self {
        let is_kept = |column: &Column| *column != Column::Product;
        if self.columns.iter().all(is_kept) {
            return self;
        }
        let row_kept = |row: &[f32]| {
            let kept = row.iter().zip(&self.columns).filter(|(_, column)| is_kept(column));
            kept.map(|(&x, _)| x).collect::<Vec<f32>>()
        };
        let values = self.values.chunks_exact(self.width).flat_map(row_kept).collect();
        let columns: Vec<Column> = self.columns.iter().copied().filter(is_kept).collect();
        Self { values, width: columns.len(), columns }
    }
}

impl Prepared {
    /// The examples split for one of the fits of [`FitConfig::folds`].
    pub(super) fn new(
        sample: &Sample,
        config: &FitConfig,
        seed: Seed,
        fold: usize,
    ) -> Result<Self> {
        let n = sample.len();
        if n < FEWEST {
            let purpose = "training, validating and testing a critic";
            return Err(Error::TooFewSamples { got: n, wanted: FEWEST, purpose });
        }
        let mut rows: Vec<usize> = (0..n).collect();
        rows.shuffle(&mut seed.stream("split").rng());
        let [validation, mut test] =
            config.held_out.map(|fraction| ((n as f64 * fraction) as usize).max(4));
        let validation = validation.min(MOST_VALIDATION);
        test = test.min(MOST_TEST);
        if config.folds > 1 {
            let [first, end] = [fold, fold + 1].map(|fold| fold * n / config.folds);
            test = end - first;
            // The test split is the last part.
            rows.rotate_left(end % n);
        }
        if validation + test + 4 > n {
            let wanted = validation + test + 4;
            return Err(Error::TooFewSamples { got: n, wanted, purpose: "splits of this size" });
        }
        let test = rows.split_off(n - test);
        let validation = rows.split_off(rows.len() - validation);
        let (mut variables, mut merged) = (Vec::new(), Vec::new());
        for variable in sample.variables() {
            let map = Map::fit(config.scaling, config.norms, config.most_classes, variable, &rows);
            let share = map.merged_share(variable);
            if share > 0.0 {
                let classes = variable.classes().unwrap_or(0);
                merged.push((variable.name().to_owned(), classes, share));
            }
            let (values, columns) = (map.apply(variable), map.columns());
            variables.push(Scaled { values, width: columns.len(), columns });
        }
        Ok(Self { variables, merged, training: rows, validation, test })
    }

    /// Whether there are products of columns and norms.
    pub(super) fn has_products(&self) -> bool {
        self.variables.iter().any(|variable| variable.columns.contains(&Column::Product))
    }

    /// The same without products of columns and norms.
    pub(super) fn without_products(mut self) -> Self {
        self.variables = self.variables.into_iter().map(Scaled::without_products).collect();
        self
    }

    /// The width of each variable.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.variables.iter().map(|variable| variable.width).collect()
    }

    /// What the columns of each variable are.
    pub(super) fn columns(&self) -> Vec<Vec<Column>> {
        self.variables.iter().map(|variable| variable.columns.clone()).collect()
    }

    /// The values of some rows, one tensor (rows, D_m) per variable.
    pub(super) fn rows(&self, rows: &[usize]) -> Result<Vec<Tensor>> {
        let gather = |variable: &Scaled| {
            let width = variable.width;
            let mut values = Vec::with_capacity(rows.len() * width);
            for row in rows {
                values.extend_from_slice(&variable.values[row * width..][..width]);
            }
            Ok(Tensor::from_vec(values, (rows.len(), width), &Device::Cpu)?)
        };
        self.variables.iter().map(gather).collect()
    }

    /// The covariance of the columns of all variables side by side over the training split.
    pub(super) fn training_covariance(&self) -> Vec<f64> {
        let dim: usize = self.widths().iter().sum();
        let row_of = |row: usize| {
            let parts = self.variables.iter().map(move |v| &v.values[row * v.width..][..v.width]);
            parts.flatten().map(|&x| f64::from(x)).collect::<Vec<_>>()
        };
        let n = self.training.len() as f64;
        let mut mean = vec![0.0; dim];
        for &row in &self.training {
            mean.iter_mut().zip(row_of(row)).for_each(|(mean, x)| *mean += x / n);
        }
        let mut covariance = vec![0.0; dim * dim];
        for &row in &self.training {
            let x: Vec<f64> = row_of(row).iter().zip(&mean).map(|(x, mean)| x - mean).collect();
            for (i, line) in covariance.chunks_exact_mut(dim).enumerate() {
                line.iter_mut().zip(&x).for_each(|(entry, xj)| *entry += x[i] * xj / n);
            }
        }
        covariance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Variable;

    #[test]
    fn every_example_is_in_the_test_split_of_one_fold() {
        const ROWS: usize = 103;
        let column = |step: f64| (0..ROWS).map(|row| (row as f64 * step).fract()).collect();
        let variable = |name: &str, step| Variable::continuous(name, column(step), 1).unwrap();
        let sample = Sample::new(vec![variable("x", 0.754), variable("y", 0.569)]).unwrap();
        for folds in [2, 3, 5] {
            let config = FitConfig { folds, ..FitConfig::default() };
            let mut tested = Vec::new();
            for fold in 0..folds {
                let data = Prepared::new(&sample, &config, Seed::new(4), fold).unwrap();
                let mut all = [data.training, data.validation, data.test.clone()].concat();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..ROWS), "{folds} folds, {fold}");
                tested.extend(data.test);
            }
            tested.sort_unstable();
            assert!(tested.into_iter().eq(0..ROWS), "{folds} folds");
        }
    }
}
