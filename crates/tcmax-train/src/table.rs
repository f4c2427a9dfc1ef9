//! Tables for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::results::{Evaluation, InformationTruth, MethodResult, SuiteResult};
use crate::stats::Interval;

/// Methods against accuracies and the bound, with the truth below where it is known.
pub fn comparison(result: &SuiteResult) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut header = vec!["method".to_owned(), "seeds".to_owned(), "fused %".to_owned()];
    header.extend(result.dataset.modalities.iter().map(|name| format!("{name} %")));
    header.extend(["TC bound, nats".to_owned(), "s / run".to_owned()]);
    table.set_header(header);
    for method in &result.methods {
        let mut row = vec![method.name.clone(), method.runs.len().to_string()];
        row.push(percent(method, |test| Some(test.accuracy)));
        for m in 0..result.dataset.modalities.len() {
            row.push(percent(method, |test| test.modality_accuracy.get(m).copied().flatten()));
        }
        row.push(
            interval(method, |test| test.total_correlation)
                .map_or_else(dash, |i| format!("{i:.2}")),
        );
        let seconds: Vec<f64> = method.runs.iter().map(|run| run.seconds).collect();
        row.push(Interval::of(&seconds).map_or_else(dash, |i| format!("{:.0}", i.mean)));
        table.add_row(row);
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
    right_align(&mut table);
    table.to_string()
}

/// One evaluation, a line a figure.
pub fn evaluation(evaluation: &Evaluation, modalities: &[String]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["figure", "value"]);
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    table.add_row(["examples".to_owned(), evaluation.examples.to_string()]);
    table.add_row(["accuracy, fused".to_owned(), percent(evaluation.accuracy)]);
    for (name, value) in modalities.iter().zip(&evaluation.modality_accuracy) {
        table.add_row([format!("accuracy, {name}"), value.map_or_else(dash, percent)]);
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

fn percent(method: &MethodResult, figure: impl Fn(&Evaluation) -> Option<f64>) -> String {
    interval(method, figure).map_or_else(dash, |interval| interval.scaled(100.0).to_string())
}

fn dash() -> String {
    "–".to_owned()
}

fn right_align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
