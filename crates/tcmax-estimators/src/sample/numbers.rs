//! The map of a variable of numbers: each column by itself, and, of several, norms of the row and products with them.

use std::ops::RangeInclusive;

use super::column::{Column, Scaling};
use super::monotone::{Monotone, Tail};
use super::variable::Variable;

/// Products are for variables of so many columns: of fewer a network finds by itself how directions turn with the norm,
/// and does so better than from a start with products; of more there would be too many, twice as many as columns.
const MULTIPLIED: RangeInclusive<usize> = 8..=32;
/// Norms beyond this many deviations count as this many in products.
const FARTHEST: f64 = 4.0;

/// Of which numbers a norm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Norm {
    /// Those of the data.
    Raw,
    /// The ranks, as quantiles of a law.
    Ranks(Tail),
}

/// Of a law of elliptical form the norm under its own tail is all that there is to know of the scale, and the norm of
/// ranks that were brought to the normal law is not.
const NORMS: [Norm; 4] =
    [Norm::Raw, Norm::Ranks(Tail::Normal), Norm::Ranks(Tail::Student2), Norm::Ranks(Tail::Cauchy)];

/// The fitted maps.
pub(crate) struct Numbers {
    columns: Vec<Monotone>,
    norms: Vec<(Norm, Monotone)>,
    multiplied: bool,
}

impl Numbers {
    /// The maps of `variable` made from its rows `training`, with the norms of several columns if `norms`.
    pub(super) fn fit(
        scaling: Scaling,
        norms: bool,
        variable: &Variable,
        training: &[usize],
    ) -> Self {
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
        let of = |norm: Norm| {
            let of_row = |&row: &usize| {
                let row = &variable.values()[row * width..][..width];
                let mapped: Vec<f64> = columns.iter().zip(row).map(|(map, &x)| map.at(x)).collect();
                norm.at(row, &mapped)
            };
            (norm, Monotone::ranks(training.iter().map(of_row).collect()))
        };
        let (wanted, multiplied) = added(scaling, norms, width);
        let norms = wanted.iter().map(|&norm| of(norm)).collect();
        Self { columns, norms, multiplied }
    }

    /// How many columns there are of a variable of so many numbers, without products.
    pub(crate) const fn width_of(scaling: Scaling, norms: bool, width: usize) -> usize {
        width + added(scaling, norms, width).0.len()
    }

    /// What the columns are after the map.
    pub(super) fn columns(&self) -> Vec<Column> {
        let width = self.columns.len();
        let mut kinds = vec![Column::Number; width];
        kinds.extend(self.norms.iter().map(|_| Column::Norm));
        if self.multiplied {
            kinds.extend(vec![Column::Product; 2 * width]);
        }
        kinds
    }

    /// Adds an example, mapped, to `values`.
    pub(super) fn apply(&self, row: &[f64], values: &mut Vec<f32>) {
        let mapped: Vec<f64> = row.iter().zip(&self.columns).map(|(&x, map)| map.at(x)).collect();
        values.extend(mapped.iter().map(|&z| z as f32));
        let mut first = None;
        for (norm, map) in &self.norms {
            let score = map.at(norm.at(row, &mapped));
            first.get_or_insert(score);
            values.push(score as f32);
        }
        if let Some(score) = first.filter(|_| self.multiplied) {
            let s = score.clamp(-FARTHEST, FARTHEST);
            // Of mean 0 and variance 1 under the normal law, as the scores themselves.
            let polynomials = [s, (s * s - 1.0) / std::f64::consts::SQRT_2];
            values.extend(
                polynomials.iter().flat_map(|p| mapped.iter().map(move |z| (z * p) as f32)),
            );
        }
    }
}

/// The norms of a variable of so many columns, and whether it has products.
const fn added(scaling: Scaling, norms: bool, width: usize) -> (&'static [Norm], bool) {
    match (norms && width > 1, scaling) {
        (false, _) => (&[], false),
        (true, Scaling::RankGaussian) => {
            (&NORMS, *MULTIPLIED.start() <= width && width <= *MULTIPLIED.end())
        }
        (true, Scaling::ZScore) => (&[Norm::Ranks(Tail::Normal)], false),
    }
}

impl Norm {
    /// That of an example, whose columns are mapped to normal scores.
    fn at(self, row: &[f64], mapped: &[f64]) -> f64 {
        let squares: f64 = match self {
            Self::Raw => row.iter().map(|x| x * x).sum(),
            Self::Ranks(tail) => mapped.iter().map(|&z| tail.of(z).powi(2)).sum(),
        };
        squares.sqrt()
    }
}
