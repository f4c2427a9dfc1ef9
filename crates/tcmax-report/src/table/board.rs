//! The quantities of a leaderboard's table, side by side.

use tcmax_metrics::Interval;
use tcmax_train::results::{MethodResult, RunResult, SuiteResult};

use crate::table::column::{Cell, Column, ColumnKind, PERCENT};
use crate::table::comparison::{baseline, columns, differences};
use crate::table::cost::costs;

/// Accuracy, its difference to the baseline, and what else tells methods apart; columns without any value are there
/// too, so that the tables of all data sets have the same.
pub(crate) fn board_columns(result: &SuiteResult) -> Vec<Column> {
    let further =
        |heading: &str, digits: usize, scale: f64, value: &dyn Fn(&RunResult) -> Option<f64>| {
            let what = (heading.to_owned(), ColumnKind::Further, digits);
            Column::over_runs(result, what, scale, value)
        };
    let mut all: Vec<Column> = columns(result).into_iter().take(1).collect();
    if let Some(accuracy) = all.first_mut() {
        accuracy.heading = "accuracy %".to_owned();
    }
    all.extend(difference(result));
    all.push(further("log loss, nats", 3, 1.0, &log_loss));
    all.push(further("Shapley imbalance, points", 1, PERCENT, &imbalance));
    all.push(further("worst probe %", 1, PERCENT, &worst_probe));
    all.push(further("one missing %", 1, PERCENT, &one_missing));
    all.extend(costs(result).into_iter().filter(|column| column.heading != "step / joint"));
    all.push(extra_parameters(result));
    all
}

/// The difference in accuracy to the baseline, with corrected p values.
pub(crate) fn difference(result: &SuiteResult) -> Option<Column> {
    let against = baseline(result).map_or("", |row| result.methods[row].name.as_str());
    let column = differences(result).into_iter().next()?;
    Some(Column { heading: format!("to {against}, points"), ..column })
}

/// What a mean of log losses over the classes is for other targets.
fn log_loss(run: &RunResult) -> Option<f64> {
    let of_classes = run.metrics.as_ref().map(|metrics| metrics.summary.log_loss);
    of_classes.or(run.test.cross_entropy).filter(|loss| loss.is_finite())
}

/// The largest Shapley value less the smallest.
fn imbalance(run: &RunResult) -> Option<f64> {
    let values: Option<Vec<f64>> = run.contributions.as_ref()?.iter().copied().collect();
    let values = values.filter(|values| !values.is_empty())?;
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(largest - values.iter().copied().fold(f64::INFINITY, f64::min))
}

/// The accuracy of the probe of the modality that has the worst.
fn worst_probe(run: &RunResult) -> Option<f64> {
    run.probe_accuracy.iter().flatten().copied().min_by(f64::total_cmp)
}

/// The accuracy with a modality absent from every example, the mean over the modalities.
fn one_missing(run: &RunResult) -> Option<f64> {
    let without = &run.absence.as_ref()?.accuracy_without;
    let values: Vec<f64> = without.iter().flatten().copied().collect();
    Interval::of(&values).map(|interval| interval.mean)
}

/// Numbers that training changes, beyond those of the baseline.
fn extra_parameters(result: &SuiteResult) -> Column {
    let of_method = |method: &MethodResult| {
        let counts: Option<Vec<f64>> =
            method.runs.iter().map(|run| run.parameters.map(|count| count as f64)).collect();
        Interval::of(&counts?).map(|interval| interval.mean)
    };
    let joint = baseline(result).and_then(|row| of_method(&result.methods[row]));
    let cell = |method: &MethodResult| {
        let mean = of_method(method)? - joint?;
        Some(Cell::from(Interval { mean, half_width: None }))
    };
    Column::plain("extra parameters", 0, result.methods.iter().map(cell).collect())
}
