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

/// The figures of a comparison, for every method and averaged over the seeds.
pub fn columns(result: &SuiteResult) -> Vec<Column> {
    let over_runs = |figure: &dyn Fn(&RunResult) -> Option<f64>, scale: f64| {
        let one = |method: &MethodResult| {
            let values: Option<Vec<f64>> = method.runs.iter().map(figure).collect();
            Interval::of(&values?).map(|interval| interval.scaled(scale))
        };
        result.methods.iter().map(one).collect::<Vec<_>>()
    };
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

/// Methods against accuracies and the bound, with the truth below where it is known.
pub fn comparison(result: &SuiteResult) -> String {
    let columns = columns(result);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec!["method".to_owned(), "seeds".to_owned()];
    header.extend(columns.iter().map(|column| column.heading.clone()));
    table.set_header(header);
    for (row, method) in result.methods.iter().enumerate() {
        let mut cells = vec![method.name.clone(), method.runs.len().to_string()];
        cells.extend(columns.iter().map(|column| {
            column.values[row].map_or_else(dash, |value| format!("{value:.0$}", column.digits))
        }));
        table.add_row(cells);
    }
    right_align(&mut table);
    let mut text = table.to_string();
    if let Some(truth) = &result.truth {
        text += "\n\n";
        text += &truth_table(truth, &result.dataset.modalities);
    }
    text
}

/// What is known of the data.
pub fn truth_table(truth: &InformationTruth, modalities: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["truth", "value"]);
    let nats = |value: f64| format!("{value:.3} nats");
    table.add_row(["H(y)".to_owned(), nats(truth.label_entropy)]);
    for (name, value) in modalities.iter().zip(&truth.label_information) {
        table.add_row([format!("I(y; {name})"), nats(*value)]);
    }
    table.add_row(["I(y; all modalities)".to_owned(), nats(truth.joint_information)]);
    table.add_row(["TC(all modalities, y)".to_owned(), nats(truth.total_correlation)]);
    let ceiling = truth.total_correlation - truth.additive_gap;
    table.add_row(["of it within reach of a sum of logits".to_owned(), nats(ceiling)]);
    table.add_row(["best accuracy".to_owned(), format!("{:.1} %", 100.0 * truth.bayes_accuracy)]);
    for (name, value) in modalities.iter().zip(&truth.bayes_modality_accuracy) {
        table.add_row([format!("best accuracy, {name} alone"), format!("{:.1} %", 100.0 * value)]);
    }
    for (what, value) in [
        ("best AUC, matched against shuffled", truth.matching_auc),
        ("of it within reach of a sum of logits", truth.additive_matching_auc),
    ] {
        table.add_row([what.to_owned(), format!("{value:.3}")]);
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
