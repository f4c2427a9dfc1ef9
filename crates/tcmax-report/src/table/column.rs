//! One quantity of every method, with its uncertainty.

use tcmax_metrics::{Interval, PairedDifference, holm};
use tcmax_train::results::{MethodResult, Metric, RunResult, SuiteResult};

use crate::table::style::dash;

/// What a column of the comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Accuracy of the model's own predictions, %; of labels mAP, of numbers the RMSE.
    Accuracy,
    /// Accuracy of a linear probe, %.
    Probe,
    /// The bound on the total correlation, nats.
    Bound,
    /// What is left with a modality absent, %, or how well examples that do not match are told.
    Absence,
    /// The difference to the baseline over the same seeds.
    Difference,
    /// Another metric, which may be better when it is smaller, or what a modality adds.
    Further,
    /// Time or memory.
    Cost,
}

impl ColumnKind {
    /// Whether more is better, and a best one can be named.
    pub(super) fn is_ranked(self) -> bool {
        !matches!(self, Self::Difference | Self::Further | Self::Cost)
    }
}

/// A quantity of one method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Mean over the runs, with its interval.
    pub interval: Interval,
    /// The least and the largest over the runs, for quantities that have no interval.
    pub range: Option<[f64; 2]>,
    /// Of a difference, the p value of the paired t-test, corrected for all methods.
    pub p: Option<f64>,
}

impl From<Interval> for Cell {
    fn from(interval: Interval) -> Self {
        Self { interval, range: None, p: None }
    }
}

/// The scale of accuracies.
pub(super) const PERCENT: f64 = 100.0;

/// The smallest step between two accuracies on the test split, %.
fn step(result: &SuiteResult) -> f64 {
    let runs = result.methods.iter().flat_map(|method| &method.runs);
    let examples = runs.map(|run| run.test.examples).min().unwrap_or(0);
    PERCENT / examples.max(1) as f64
}

/// Test examples over training examples, where each seed drew both from the same ones.
fn test_to_train(result: &SuiteResult) -> Option<f64> {
    let [train, _, test] = result.dataset.sizes;
    (result.dataset.resampled && train > 0 && test > 0).then(|| test as f64 / train as f64)
}

/// One quantity of every method.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its heading, with the unit.
    pub heading: String,
    /// What it shows.
    pub kind: ColumnKind,
    /// One cell per method, `None` where there is none.
    pub cells: Vec<Option<Cell>>,
    /// Digits after the point.
    pub digits: usize,
    /// Whether the least value is the best.
    pub less_is_better: bool,
    /// The runs of each method by seed and fold, and their values, in the unit of the heading.
    pub(super) by_run: Vec<Vec<(Run, f64)>>,
    /// The smallest step between two values, as accuracies on few examples have it; 0 for none.
    pub(super) step: f64,
    /// Test examples over training examples, where each seed drew both from the same ones.
    pub(super) test_to_train: Option<f64>,
}

/// What runs of several methods are paired by: the seed, and the fold of a cross-validation.
type Run = (u64, Option<usize>);

impl Column {
    /// Of a quantity of each run, scaled; a method has no cell where one of its runs lacks it.
    pub(super) fn over_runs(
        result: &SuiteResult,
        (heading, kind, digits): (String, ColumnKind, usize),
        scale: f64,
        quantity: &dyn Fn(&RunResult) -> Option<f64>,
    ) -> Self {
        let of_runs = |method: &MethodResult| -> Vec<(Run, f64)> {
            let value = |run: &RunResult| Some(((run.seed, run.fold), scale * quantity(run)?));
            let values: Option<Vec<_>> = method.runs.iter().map(value).collect();
            values.unwrap_or_default()
        };
        let by_run: Vec<Vec<(Run, f64)>> = result.methods.iter().map(of_runs).collect();
        let cell = |values: &Vec<(Run, f64)>| {
            let values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            Interval::of(&values).map(Cell::from)
        };
        let cells = by_run.iter().map(cell).collect();
        let step = if scale == PERCENT { step(result) } else { 0.0 };
        let test_to_train = test_to_train(result);
        Self { heading, kind, cells, digits, less_is_better: false, by_run, step, test_to_train }
    }

    /// Of the metric that methods are compared by, or another of its unit: in percent where it is a fraction, and
    /// otherwise with four digits that count.
    pub(super) fn of_metric(
        result: &SuiteResult,
        heading: &str,
        quantity: &dyn Fn(&RunResult) -> Option<f64>,
    ) -> Self {
        let metric = Metric::of(result.dataset.task);
        let named = match metric {
            Metric::Accuracy => heading.to_owned(),
            _ => format!("{heading} {}", metric.name()),
        };
        if metric.is_fraction() {
            let what = (format!("{named} %"), ColumnKind::Accuracy, 1);
            let column = Self::over_runs(result, what, PERCENT, quantity);
            // Only accuracies are multiples of one example.
            let step = if metric == Metric::Accuracy { column.step } else { 0.0 };
            return Self { step, ..column };
        }
        let column = Self::over_runs(result, (named, ColumnKind::Accuracy, 0), 1.0, quantity);
        let digits = column.counting_digits();
        Self { digits, less_is_better: !metric.more_is_better(), ..column }
    }

    /// Digits after the point with which the largest mean has four that count.
    fn counting_digits(&self) -> usize {
        let means = self.cells.iter().flatten().map(|cell| cell.interval.mean.abs());
        let largest = means.fold(0.0, f64::max);
        if largest > 0.0 { (3.0 - largest.log10().floor()).clamp(0.0, 12.0) as usize } else { 1 }
    }

    /// The same with as many digits as [`Column::of_metric`] has for numbers of any size.
    pub(super) fn with_counting_digits(self) -> Self {
        Self { digits: self.counting_digits(), ..self }
    }

    /// Of cells that are no means over runs.
    pub(super) fn plain(heading: &str, digits: usize, cells: Vec<Option<Cell>>) -> Self {
        let by_run = vec![Vec::new(); cells.len()];
        Self {
            heading: heading.to_owned(),
            kind: ColumnKind::Cost,
            cells,
            digits,
            less_is_better: false,
            by_run,
            step: 0.0,
            test_to_train: None,
        }
    }

    /// The value of a cell, then what is said of its uncertainty.
    pub fn text(&self, row: usize) -> Vec<String> {
        let digits = self.digits;
        let Some(cell) = self.cells.get(row).copied().flatten() else {
            return vec![dash()];
        };
        let mean = match self.kind {
            ColumnKind::Difference => format!("{:+.digits$}", cell.interval.mean),
            _ => format!("{:.digits$}", cell.interval.mean),
        };
        let mut text = vec![mean];
        text.extend(cell.interval.half_width.map(|half| format!("± {half:.digits$}")));
        text.extend(cell.range.map(|[low, high]| format!("({low:.digits$} to {high:.digits$})")));
        text.extend(cell.p.map(|p| match p {
            p if p < 0.001 => "(p < 0.001)".to_owned(),
            p => format!("(p {p:.3})"),
        }));
        text
    }

    /// The difference of one method to another over the seeds that both have.
    pub fn difference(&self, row: usize, other: usize) -> Option<PairedDifference> {
        let (of_row, of_other) = (self.by_run.get(row)?, self.by_run.get(other)?);
        let pair = |(run, value): &(Run, f64)| {
            let partner = of_other.iter().find(|(other, _)| other == run)?;
            Some((*value, partner.1))
        };
        let pairs: Vec<(f64, f64)> = of_row.iter().filter_map(pair).collect();
        self.with_rounding(&pairs)
    }

    /// The paired difference, with at least the standard deviation that counting examples leaves.
    ///
    /// Two seeds with the same difference of one example would otherwise be certain of it: accuracies are
    /// multiples of 1 / n, the difference of two roundings has the variance step^2 / 6, and of a few seeds
    /// the sample's standard deviation may be less than that by chance.
    fn with_rounding(&self, pairs: &[(f64, f64)]) -> Option<PairedDifference> {
        let found = self.paired(pairs)?;
        let count = pairs.len();
        if count < 2 || self.step == 0.0 || found.interval.mean == 0.0 {
            return Some(found);
        }
        // Evenly spread values 0, 1, ..., n - 1 have the variance n (n + 1) / 12.
        let unit = self.step / 6f64.sqrt() / ((count * (count + 1)) as f64 / 12.0).sqrt();
        let middle = (count as f64 - 1.0) / 2.0;
        let spread = |n: usize| (found.interval.mean + unit * (n as f64 - middle), 0.0);
        let rounded = self.paired(&(0..count).map(spread).collect::<Vec<_>>())?;
        let is_wider = rounded.interval.half_width > found.interval.half_width;
        Some(if is_wider { rounded } else { found })
    }

    /// The paired t-test that suits the way the seeds' test splits were drawn.
    fn paired(&self, pairs: &[(f64, f64)]) -> Option<PairedDifference> {
        match self.test_to_train {
            None => PairedDifference::of(pairs),
            Some(ratio) => PairedDifference::of_resampled(pairs, ratio).ok().flatten(),
        }
    }

    /// How many seeds two methods have in common.
    pub(crate) fn shared_seeds(&self, row: usize, other: usize) -> usize {
        let (Some(of_row), Some(of_other)) = (self.by_run.get(row), self.by_run.get(other)) else {
            return 0;
        };
        of_row.iter().filter(|(run, _)| of_other.iter().any(|(other, _)| other == run)).count()
    }

    /// The method of the best mean, and the others that cannot be told from it: those whose
    /// difference over the same seeds has a corrected p value of 0.05 or more, or none.
    pub fn ranking(&self) -> Option<(usize, Vec<usize>)> {
        self.ranking_of(&|_| true)
    }

    /// As [`Column::ranking`], of some of the methods.
    pub fn ranking_of(&self, counts: &dyn Fn(usize) -> bool) -> Option<(usize, Vec<usize>)> {
        let means: Vec<(usize, f64)> = self
            .cells
            .iter()
            .enumerate()
            .filter_map(|(row, cell)| Some((row, (*cell)?.interval.mean)))
            .filter(|(row, _)| counts(*row))
            .collect();
        // Of equals the first.
        let sign = if self.less_is_better { -1.0 } else { 1.0 };
        let best = means.iter().rev().max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)))?.0;
        let others: Vec<usize> =
            means.iter().map(|(row, _)| *row).filter(|&row| row != best).collect();
        let p: Vec<Option<f64>> = others.iter().map(|&row| self.difference(best, row)?.p).collect();
        let is_apart = |p: &Option<f64>| p.is_some_and(|p| p < 0.05);
        let tied = others.iter().zip(holm(&p)).filter(|(_, p)| !is_apart(p));
        Some((best, tied.map(|(row, _)| *row).collect()))
    }

    /// The method that is better than every other beyond chance; `None` where several cannot be told
    /// apart, or there is nothing to compare with.
    pub fn winner(&self) -> Option<usize> {
        let others = self.cells.iter().flatten().count() > 1;
        let (best, tied) = self.ranking().filter(|_| others && self.kind.is_ranked())?;
        tied.is_empty().then_some(best)
    }
}
