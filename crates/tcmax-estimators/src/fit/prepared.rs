//! A sample, scaled and split.

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use super::config::FitConfig;
use crate::error::{Error, Result};
use crate::sample::Sample;
use crate::sample::scaling::{Column, Map};

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

impl Prepared {
    pub(super) fn new(sample: &Sample, config: &FitConfig, seed: Seed) -> Result<Self> {
        let n = sample.len();
        if n < FEWEST {
            let purpose = "training, validating and testing a critic";
            return Err(Error::TooFewSamples { got: n, wanted: FEWEST, purpose });
        }
        let mut rows: Vec<usize> = (0..n).collect();
        rows.shuffle(&mut seed.stream("split").rng());
        let [validation, test] =
            config.held_out.map(|fraction| ((n as f64 * fraction) as usize).max(4));
        let (validation, test) = (validation.min(MOST_VALIDATION), test.min(MOST_TEST));
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
