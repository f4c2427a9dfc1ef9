//! Further metrics of the test split, and what each modality adds.

use tcmax_metrics::Summary;
use tcmax_train::Task;
use tcmax_train::results::{RunResult, SuiteResult, TargetScores};

use crate::table::column::{Column, ColumnKind};

/// Metrics beside accuracy, averaged over the runs.
pub(super) fn further(result: &SuiteResult) -> Vec<Column> {
    if result.dataset.task != Task::Classes {
        return of_targets(result);
    }
    let of = |heading: &str, digits: usize, scale: f64, value: &dyn Fn(&Summary) -> f64| {
        let quantity = |run: &RunResult| {
            let value = value(&run.metrics.as_ref()?.summary);
            value.is_finite().then_some(value)
        };
        let what = (heading.to_owned(), ColumnKind::Further, digits);
        Column::over_runs(result, what, scale, &quantity)
    };
    let mut columns = vec![
        of("balanced %", 1, 100.0, &|all| all.balanced_accuracy),
        of("macro F1 %", 1, 100.0, &|all| all.macro_average.f1),
        of("AUROC %", 1, 100.0, &|all| all.auroc_macro),
        of("mAP %", 1, 100.0, &|all| all.average_precision_macro),
    ];
    if result.dataset.classes.len() > TOP {
        let top = |run: &RunResult| run.metrics.as_ref()?.top_k.get(TOP - 1).copied();
        let what = (format!("top {TOP} %"), ColumnKind::Further, 1);
        columns.push(Column::over_runs(result, what, 100.0, &top));
    }
    columns.push(of("log loss, nats", 3, 1.0, &|all| all.log_loss));
    columns.push(of("Brier", 3, 1.0, &|all| all.brier));
    columns.push(of("ECE %", 1, 100.0, &|all| all.ece));
    columns
}

/// The metrics of labels or numbers, but for the one that methods are compared by.
fn of_targets(result: &SuiteResult) -> Vec<Column> {
    let first = result.methods.iter().flat_map(|method| &method.runs).next();
    let names =
        first.and_then(|run| run.test.targets.as_ref()).map_or_else(Vec::new, TargetScores::all);
    let is_labels = result.dataset.task == Task::Labels;
    let column = |(position, (name, _)): (usize, &(&str, f64))| {
        let quantity = |run: &RunResult| {
            let (_, value) = *run.test.targets.as_ref()?.all().get(position)?;
            value.is_finite().then_some(value)
        };
        let name = name.replace('_', " ");
        let what = |unit: &str| (format!("{name}{unit}"), ColumnKind::Further, 1);
        match is_labels {
            true => Column::over_runs(result, what(" %"), 100.0, &quantity),
            false => Column::over_runs(result, what(""), 1.0, &quantity).with_counting_digits(),
        }
    };
    let mut columns: Vec<Column> = names.iter().enumerate().skip(1).map(column).collect();
    if is_labels {
        let what = ("log loss, nats".to_owned(), ColumnKind::Further, 3);
        columns.push(Column::over_runs(result, what, 1.0, &|run| run.test.cross_entropy));
    }
    columns
}

/// Of how many classes one is to be the right one, beside the first.
const TOP: usize = 5;

/// The Shapley value of each modality for the accuracy.
pub(super) fn contributions(result: &SuiteResult) -> Vec<Column> {
    let of = |(m, name): (usize, &String)| {
        let quantity = |run: &RunResult| run.contributions.as_ref()?.get(m).copied().flatten();
        let what = (format!("{name}, points"), ColumnKind::Further, 1);
        Column::over_runs(result, what, 100.0, &quantity)
    };
    result.dataset.modalities.iter().enumerate().map(of).collect()
}

/// Accuracies that were published, by the names of the methods.
pub(super) fn published(result: &SuiteResult) -> Column {
    let cell = |name: &String| {
        let mean = *result.published.get(name)?;
        Some(tcmax_metrics::Interval { mean, half_width: None }.into())
    };
    let cells = result.methods.iter().map(|method| cell(&method.name)).collect();
    Column::plain("published %", 1, cells)
}
