//! Tables for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::results::{
    Absence, Evaluation, InformationTruth, MethodResult, RunResult, StepCost, SuiteResult,
};
use crate::stats::Interval;

/// What a column of the comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Accuracy of the model's own predictions, %.
    Accuracy,
    /// Accuracy of a linear probe, %.
    Probe,
    /// The bound on the total correlation, nats.
    Bound,
    /// What is left with a modality absent, %, or how well examples that do not match are told.
    Absence,
    /// Time or memory.
    Cost,
}

/// One figure of every method.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its heading, with the unit.
    pub heading: String,
    /// What it shows.
    pub kind: ColumnKind,
    /// One value a method, `None` where there is none.
    pub values: Vec<Option<Interval>>,
    /// Digits after the point.
    pub digits: usize,
}

/// A figure of every method over its runs, scaled; `None` where a run lacks it.
fn over_runs(
    result: &SuiteResult,
    figure: &dyn Fn(&RunResult) -> Option<f64>,
    scale: f64,
) -> Vec<Option<Interval>> {
    let one = |method: &MethodResult| {
        let values: Option<Vec<f64>> = method.runs.iter().map(figure).collect();
        Interval::of(&values?).map(|interval| interval.scaled(scale))
    };
    result.methods.iter().map(one).collect()
}

/// The figures of a comparison, for every method and averaged over the seeds.
pub fn columns(result: &SuiteResult) -> Vec<Column> {
    let over_runs =
        |figure: &dyn Fn(&RunResult) -> Option<f64>, scale: f64| over_runs(result, figure, scale);
    let mut columns = Vec::new();
    let mut add = |heading: String, kind, values: Vec<Option<Interval>>, digits| {
        if values.iter().any(Option::is_some) {
            columns.push(Column { heading, kind, values, digits });
        }
    };
    let fused = over_runs(&|run| Some(run.test.accuracy), 100.0);
    add("fused %".to_owned(), ColumnKind::Accuracy, fused, 1);
    for (m, name) in result.dataset.modalities.iter().enumerate() {
        let own = over_runs(&|run| run.test.modality_accuracy.get(m).copied().flatten(), 100.0);
        add(format!("{name} %"), ColumnKind::Accuracy, own, 1);
    }
    for (m, name) in result.dataset.modalities.iter().enumerate() {
        let probe = over_runs(&|run| run.probe_accuracy.get(m).copied().flatten(), 100.0);
        add(format!("probe {name} %"), ColumnKind::Probe, probe, 1);
    }
    let bound = over_runs(&|run| run.test.total_correlation, 1.0);
    add("TC bound, nats".to_owned(), ColumnKind::Bound, bound, 2);
    let cost = |figure: &dyn Fn(StepCost) -> Option<f64>| {
        let one = |method: &MethodResult| Interval::of(&[method.cost.and_then(figure)?]);
        result.methods.iter().map(one).collect::<Vec<_>>()
    };
    let joint = result.methods.iter().find(|method| method.name == "joint");
    let joint = joint.and_then(|method| method.cost);
    add("ms / step".to_owned(), ColumnKind::Cost, cost(&|own| Some(1e3 * own.seconds)), 1);
    let ratio = cost(&|own| Some(own.seconds / joint?.seconds));
    add("time / joint".to_owned(), ColumnKind::Cost, ratio, 2);
    let extra = cost(&|own| Some((own.peak_bytes as f64 - joint?.peak_bytes as f64) / 1024.0));
    add("KiB over joint".to_owned(), ColumnKind::Cost, extra, 0);
    let seconds = |run: &RunResult| Some(run.seconds);
    let seconds: Vec<Option<Interval>> = over_runs(&seconds, 1.0)
        .into_iter()
        .map(|interval| interval.map(|i| Interval { half_width: None, ..i }))
        .collect();
    add("s / run".to_owned(), ColumnKind::Cost, seconds, 0);
    columns
}

/// The figures of models without one of their modalities, averaged over the seeds; none where no
/// model has two.
pub fn absence_columns(result: &SuiteResult) -> Vec<Column> {
    let column = |heading: String, digits, scale, figure: &dyn Fn(&Absence) -> Option<f64>| {
        let values = over_runs(result, &|run| figure(run.absence.as_ref()?), scale);
        Column { heading, kind: ColumnKind::Absence, values, digits }
    };
    let mut columns = Vec::new();
    for (m, name) in result.dataset.modalities.iter().enumerate() {
        let without = |absence: &Absence| absence.accuracy_without.get(m).copied().flatten();
        columns.push(column(format!("without {name} %"), 1, 100.0, &without));
        let zeros = |absence: &Absence| absence.accuracy_with_zeros.get(m).copied().flatten();
        columns.push(column(format!("zeros for {name} %"), 1, 100.0, &zeros));
    }
    let auc = |absence: &Absence| Some(absence.matching_auc);
    columns.push(column("AUC, matched".to_owned(), 3, 1.0, &auc));
    columns.retain(|column| column.values.iter().any(Option::is_some));
    columns
}

/// Methods against accuracies and the bound, and without a modality; the truth below where it is
/// known.
pub fn comparison(result: &SuiteResult) -> String {
    let absence = absence_columns(result);
    let mut tables = vec![methods_table(result, &columns(result))];
    tables.extend((!absence.is_empty()).then(|| methods_table(result, &absence)));
    let truth = result.truth.iter();
    tables.extend(truth.map(|truth| truth_table(truth, &result.dataset.modalities)));
    tables.join("\n\n")
}

/// A row a method that has any of the figures.
fn methods_table(result: &SuiteResult, columns: &[Column]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec!["method".to_owned(), "seeds".to_owned()];
    header.extend(columns.iter().map(|column| column.heading.clone()));
    table.set_header(header);
    for row in rows_of(result, columns) {
        let method = &result.methods[row];
        let mut cells = vec![method.name.clone(), method.runs.len().to_string()];
        cells.extend(columns.iter().map(|column| {
            column.values[row].map_or_else(dash, |value| format!("{value:.0$}", column.digits))
        }));
        table.add_row(cells);
    }
    right_align(&mut table);
    table.to_string()
}

/// The positions of the methods that have any of the figures.
pub fn rows_of(result: &SuiteResult, columns: &[Column]) -> Vec<usize> {
    let has_any = |row: &usize| columns.iter().any(|column| column.values[*row].is_some());
    (0..result.methods.len()).filter(has_any).collect()
}

/// What is known of the data, as names and values.
pub fn truth_rows(truth: &InformationTruth, modalities: &[String]) -> Vec<(String, String)> {
    let nats = |value: f64| format!("{value:.3} nats");
    let percent = |value: f64| format!("{:.1} %", 100.0 * value);
    let mut rows = vec![("H(y)".to_owned(), nats(truth.label_entropy))];
    for (name, value) in modalities.iter().zip(&truth.label_information) {
        rows.push((format!("I(y; {name})"), nats(*value)));
    }
    let ceiling = truth.total_correlation - truth.additive_gap;
    rows.extend([
        ("I(y; all modalities)".to_owned(), nats(truth.joint_information)),
        ("TC(all modalities, y)".to_owned(), nats(truth.total_correlation)),
        ("of it within reach of a sum of logits".to_owned(), nats(ceiling)),
        ("best accuracy".to_owned(), percent(truth.bayes_accuracy)),
    ]);
    for (name, value) in modalities.iter().zip(&truth.bayes_modality_accuracy) {
        rows.push((format!("best accuracy, {name} alone"), percent(*value)));
    }
    let best_auc = "best AUC, matched against shuffled".to_owned();
    let additive_auc = "best of a sum of logits".to_owned();
    rows.push((best_auc, format!("{:.3}", truth.matching_auc)));
    rows.push((additive_auc, format!("{:.3}", truth.additive_matching_auc)));
    rows
}

/// What is known of the data.
pub fn truth_table(truth: &InformationTruth, modalities: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["truth", "value"]);
    for (name, value) in truth_rows(truth, modalities) {
        table.add_row([name, value]);
    }
    right_align(&mut table);
    table.to_string()
}

/// One evaluation, a line a figure.
pub fn evaluation(
    evaluation: &Evaluation,
    absence: Option<&Absence>,
    modalities: &[String],
) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["figure", "value"]);
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    table.add_row(["examples".to_owned(), evaluation.examples.to_string()]);
    table.add_row(["accuracy, fused".to_owned(), percent(evaluation.accuracy)]);
    for (name, value) in modalities.iter().zip(&evaluation.modality_accuracy) {
        table.add_row([format!("accuracy, {name}"), value.map_or_else(dash, percent)]);
    }
    if let Some(absence) = absence {
        for (name, value) in modalities.iter().zip(&absence.accuracy_without) {
            table.add_row([format!("accuracy without {name}"), value.map_or_else(dash, percent)]);
        }
        for (name, value) in modalities.iter().zip(&absence.accuracy_with_zeros) {
            let row = format!("accuracy with zeros for {name}");
            table.add_row([row, value.map_or_else(dash, percent)]);
        }
        let auc = format!("{:.3}", absence.matching_auc);
        table.add_row(["AUC of matched against shuffled".to_owned(), auc]);
    }
    table.add_row(["cross-entropy".to_owned(), format!("{:.3} nats", evaluation.cross_entropy)]);
    let bound = evaluation.total_correlation.map_or_else(dash, |nats| format!("{nats:.3} nats"));
    table.add_row(["total correlation, at least".to_owned(), bound]);
    right_align(&mut table);
    table.to_string()
}

/// The interval of a figure of the test over a method's runs; `None` where a run lacks it.
pub fn interval(
    method: &MethodResult,
    figure: impl Fn(&Evaluation) -> Option<f64>,
) -> Option<Interval> {
    let values: Option<Vec<f64>> = method.runs.iter().map(|run| figure(&run.test)).collect();
    Interval::of(&values?)
}

fn dash() -> String {
    "–".to_owned()
}

fn right_align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
