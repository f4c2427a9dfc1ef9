//! Tables for the terminal and for the report.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::results::{
    Absence, Evaluation, InformationTruth, MethodResult, RunResult, StepCost, SuiteResult,
};
use crate::stats::{Interval, PairedDifference, holm};

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
    /// The difference to the baseline over the same seeds.
    Difference,
    /// Time or memory.
    Cost,
}

impl ColumnKind {
    /// Whether more is better, and a best one can be named.
    fn is_ranked(self) -> bool {
        !matches!(self, Self::Difference | Self::Cost)
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
    /// The seeds of each method and their values, in the unit of the heading.
    by_seed: Vec<Vec<(u64, f64)>>,
}

impl Column {
    /// Of a quantity of each run, scaled; a method has no cell where one of its runs lacks it.
    fn over_runs(
        result: &SuiteResult,
        (heading, kind, digits): (String, ColumnKind, usize),
        scale: f64,
        quantity: &dyn Fn(&RunResult) -> Option<f64>,
    ) -> Self {
        let of_runs = |method: &MethodResult| -> Vec<(u64, f64)> {
            let value = |run: &RunResult| Some((run.seed, scale * quantity(run)?));
            let values: Option<Vec<_>> = method.runs.iter().map(value).collect();
            values.unwrap_or_default()
        };
        let by_seed: Vec<Vec<(u64, f64)>> = result.methods.iter().map(of_runs).collect();
        let cell = |values: &Vec<(u64, f64)>| {
            let values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            Interval::of(&values).map(Cell::from)
        };
        Self { heading, kind, cells: by_seed.iter().map(cell).collect(), digits, by_seed }
    }

    /// Of cells that are no means over runs.
    fn plain(heading: &str, digits: usize, cells: Vec<Option<Cell>>) -> Self {
        let by_seed = vec![Vec::new(); cells.len()];
        Self { heading: heading.to_owned(), kind: ColumnKind::Cost, cells, digits, by_seed }
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
        let (of_row, of_other) = (self.by_seed.get(row)?, self.by_seed.get(other)?);
        let pair = |(seed, value): &(u64, f64)| {
            let partner = of_other.iter().find(|(other, _)| other == seed)?;
            Some((*value, partner.1))
        };
        PairedDifference::of(&of_row.iter().filter_map(pair).collect::<Vec<_>>())
    }

    /// The method of the highest mean, and the others that cannot be told from it: those whose
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
        let best = means.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1))?.0;
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

/// A table of the comparison.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its title.
    pub title: String,
    /// What its columns are, in plain sentences.
    pub note: String,
    /// The columns.
    pub columns: Vec<Column>,
}

/// The position of the method that others are compared with: joint training, or the first.
pub fn baseline(result: &SuiteResult) -> Option<usize> {
    let joint = result.methods.iter().position(|method| method.name == "joint");
    joint.or((!result.methods.is_empty()).then_some(0))
}

/// All tables of a comparison that have something to show, in order.
pub fn sections(result: &SuiteResult) -> Vec<Section> {
    let section = |title: &str, note: &str, columns: Vec<Column>| {
        let has_any = |column: &Column| column.cells.iter().any(Option::is_some);
        let columns: Vec<Column> = columns.into_iter().filter(has_any).collect();
        let (title, note) = (title.to_owned(), note.to_owned());
        (!columns.is_empty()).then_some(Section { title, note, columns })
    };
    let against = baseline(result).map_or("", |row| result.methods[row].name.as_str());
    let all = [
        section("Results", RESULTS_NOTE, columns(result)),
        section(
            &format!("Differences to {against}"),
            "Means of the differences over the same seeds, in points of percent or nats, with 95% t \
             intervals; p values of paired t-tests, corrected for the number of methods in a column \
             (Holm).",
            differences(result),
        ),
        section(
            "Probes",
            "A probe is a logistic regression on a modality's frozen features: what can be read out of \
             them, whatever the head makes of it.",
            probes(result),
        ),
        section(
            "Without a modality",
            "The same models with a modality absent from every test example, averaged out over the \
             training split. AUC: how well the fused logits tell matched modalities from randomly shuffled \
             ones.",
            absences(result),
        ),
        section(
            "Zeros for a modality",
            "The same with features of zero in place of the modality.",
            zeros(result),
        ),
        section(
            "Cost",
            "A training step: its median time over all runs, in brackets those of the fastest and the \
             slowest run; time relative to the run of joint training from the same seed; and its largest \
             memory beyond joint training's.",
            costs(result),
        ),
    ];
    all.into_iter().flatten().collect()
}

const RESULTS_NOTE: &str = "Means over the seeds with 95% t intervals, on the test split, from the weights \
                            of the epoch with the best validation accuracy (of equals, the lowest \
                            cross-entropy). A modality's column is the accuracy of its own logits on the \
                            examples that have it. The bound is on the total correlation of all features \
                            and the label, over the tuples of the test split.";

/// Whether the classes of the test split are so unequal that accuracy needs a second look.
pub fn is_unbalanced(result: &SuiteResult) -> bool {
    let classes = result.dataset.classes.len().max(1) as f64;
    let mut runs = result.methods.iter().flat_map(|method| &method.runs);
    runs.any(|run| run.test.majority_rate > 1.5 / classes)
}

/// Accuracies and the bound, for every method and averaged over the seeds.
pub fn columns(result: &SuiteResult) -> Vec<Column> {
    let accuracy = |heading: String, quantity: &dyn Fn(&RunResult) -> Option<f64>| {
        Column::over_runs(result, (heading, ColumnKind::Accuracy, 1), 100.0, quantity)
    };
    let mut columns = vec![accuracy("fused %".to_owned(), &|run| Some(run.test.accuracy))];
    for (m, name) in result.dataset.modalities.iter().enumerate() {
        columns.push(accuracy(format!("{name} %"), &|run| {
            run.test.modality_accuracy.get(m).copied().flatten()
        }));
    }
    if is_unbalanced(result) {
        let balanced = |run: &RunResult| Some(run.test.balanced_accuracy);
        let what = ("balanced %".to_owned(), ColumnKind::Absence, 1);
        columns.push(Column::over_runs(result, what, 100.0, &balanced));
    }
    let what = ("TC bound, nats".to_owned(), ColumnKind::Bound, 2);
    columns.push(Column::over_runs(result, what, 1.0, &|run| run.test.total_correlation));
    columns.retain(|column| column.cells.iter().any(Option::is_some));
    let mut seconds =
        Column::over_runs(result, ("s / run".to_owned(), ColumnKind::Cost, 0), 1.0, &|run| {
            Some(run.seconds)
        });
    for cell in seconds.cells.iter_mut().flatten() {
        cell.interval.half_width = None;
    }
    columns.push(seconds);
    columns
}

/// What methods differ by from the baseline, over the same seeds.
fn differences(result: &SuiteResult) -> Vec<Column> {
    let Some(against) = baseline(result) else { return Vec::new() };
    let difference = |column: Column| {
        let found: Vec<Option<PairedDifference>> = (0..column.cells.len())
            .map(|row| if row == against { None } else { column.difference(row, against) })
            .collect();
        let p: Vec<Option<f64>> = found.iter().map(|found| (*found)?.p).collect();
        let cells = found.iter().zip(holm(&p));
        let cells = cells.map(|(found, p)| Some(Cell { p, ..Cell::from((*found)?.interval) }));
        let cells = cells.collect();
        let heading = column.heading.replace('%', "points");
        Column { heading, kind: ColumnKind::Difference, cells, ..column }
    };
    let ranked = columns(result).into_iter().filter(|column| column.kind.is_ranked());
    ranked.map(difference).collect()
}

fn probes(result: &SuiteResult) -> Vec<Column> {
    let probe = |(m, name): (usize, &String)| {
        let what = (format!("probe {name} %"), ColumnKind::Probe, 1);
        Column::over_runs(result, what, 100.0, &|run| run.probe_accuracy.get(m).copied().flatten())
    };
    result.dataset.modalities.iter().enumerate().map(probe).collect()
}

/// Models without one of their modalities; none where no model has two.
fn absences(result: &SuiteResult) -> Vec<Column> {
    let mut columns = per_modality(result, "without", &|absence| &absence.accuracy_without);
    let auc = ("AUC, matched".to_owned(), ColumnKind::Absence, 3);
    columns.push(Column::over_runs(result, auc, 1.0, &|run| run.absence.as_ref()?.matching_auc));
    columns
}

/// Models with zeros for one of their modalities.
fn zeros(result: &SuiteResult) -> Vec<Column> {
    per_modality(result, "zeros for", &|absence| &absence.accuracy_with_zeros)
}

fn per_modality(
    result: &SuiteResult,
    what: &str,
    quantity: &dyn Fn(&Absence) -> &Vec<Option<f64>>,
) -> Vec<Column> {
    let column = |(m, name): (usize, &String)| {
        let heading = (format!("{what} {name} %"), ColumnKind::Absence, 1);
        Column::over_runs(result, heading, 100.0, &|run| {
            quantity(run.absence.as_ref()?).get(m).copied().flatten()
        })
    };
    result.dataset.modalities.iter().enumerate().map(column).collect()
}

/// Time and memory of a step, where they were measured.
fn costs(result: &SuiteResult) -> Vec<Column> {
    let joint = result.methods.iter().find(|method| method.name == "joint");
    let joint = joint.and_then(|method| method.cost.as_ref());
    let of_methods = |cell: &dyn Fn(&StepCost) -> Option<Cell>| -> Vec<Option<Cell>> {
        result.methods.iter().map(|method| cell(method.cost.as_ref()?)).collect()
    };
    let plain = |value: f64| Some(Cell::from(Interval { mean: value, half_width: None }));
    let time = of_methods(&|own| {
        let range = range_of(own.runs.iter().map(|seconds| 1e3 * seconds));
        Some(Cell { range, ..plain(1e3 * own.seconds)? })
    });
    let ratio = of_methods(&|own| {
        let joint = joint?;
        let range = range_of(own.runs.iter().zip(&joint.runs).map(|(own, joint)| own / joint));
        Some(Cell { range, ..plain(own.seconds / joint.seconds)? })
    });
    let extra =
        of_methods(&|own| plain((own.peak_bytes as f64 - joint?.peak_bytes as f64) / 1024.0));
    vec![
        Column::plain("ms / step", 1, time),
        Column::plain("step / joint", 2, ratio),
        Column::plain("KiB over joint", 0, extra),
    ]
}

/// The least and the largest of several values.
fn range_of(values: impl Iterator<Item = f64> + Clone) -> Option<[f64; 2]> {
    let several = values.clone().count() > 1;
    several.then(|| {
        [values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max)]
    })
}

/// What to be wary of, by method and seed.
pub fn warnings(result: &SuiteResult) -> Vec<String> {
    let of_method = |method: &MethodResult| -> Vec<String> {
        let of_run = |run: &RunResult| -> Vec<String> {
            let name = format!("{}, seed {}", method.name, run.seed);
            run.warnings.iter().map(|text| format!("{name}: {text}")).collect()
        };
        method.runs.iter().flat_map(of_run).collect()
    };
    result.methods.iter().flat_map(of_method).collect()
}

/// Warnings in a terminal at most.
const MOST_WARNINGS: usize = 10;

/// Methods against accuracies and the bound, their differences, and without a modality; the truth below
/// where it is known, and warnings.
pub fn comparison(result: &SuiteResult) -> String {
    let mut parts: Vec<String> =
        sections(result).iter().map(|section| methods_table(result, section)).collect();
    let truth = result.truth.iter();
    parts.extend(truth.map(|truth| truth_table(truth, &result.dataset.modalities)));
    parts.extend(majority(result));
    let warnings = warnings(result);
    let mut lines: Vec<String> =
        warnings.iter().take(MOST_WARNINGS).map(|text| format!("warning: {text}")).collect();
    if warnings.len() > MOST_WARNINGS {
        let rest = warnings.len() - MOST_WARNINGS;
        lines.push(format!("and {rest} more warnings, in the results"));
    }
    parts.extend((!lines.is_empty()).then(|| lines.join("\n")));
    parts.join("\n\n")
}

/// What always answering the most frequent class gives, where that is much.
pub fn majority(result: &SuiteResult) -> Option<String> {
    let runs = result.methods.iter().flat_map(|method| &method.runs);
    let rates: Vec<f64> = runs.map(|run| 100.0 * run.test.majority_rate).collect();
    let rate = Interval::of(&rates).filter(|_| is_unbalanced(result))?.mean;
    Some(format!(
        "Always answering the most frequent class is right on {rate:.1} % of the test split."
    ))
}

/// One row per method that has any of the quantities.
fn methods_table(result: &SuiteResult, section: &Section) -> String {
    let columns = &section.columns;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let is_difference = columns.iter().all(|column| column.kind == ColumnKind::Difference);
    let first = if is_difference { section.title.as_str() } else { "method" };
    let mut header = vec![first.to_owned(), "seeds".to_owned()];
    header.extend(columns.iter().map(|column| column.heading.clone()));
    table.set_header(header);
    for row in rows_of(result, columns) {
        let method = &result.methods[row];
        let mut cells = vec![method.name.clone(), method.runs.len().to_string()];
        let text = |column: &Column| column.text(row).join(" ");
        cells.extend(columns.iter().map(text));
        table.add_row(cells);
    }
    right_align(&mut table);
    table.to_string()
}

/// The positions of the methods that have any of the quantities.
pub fn rows_of(result: &SuiteResult, columns: &[Column]) -> Vec<usize> {
    let has_any = |row: &usize| columns.iter().any(|column| column.cells[*row].is_some());
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
    table.add_row(["balanced accuracy".to_owned(), percent(evaluation.balanced_accuracy)]);
    let majority = percent(evaluation.majority_rate);
    table.add_row(["always the most frequent class".to_owned(), majority]);
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
        let auc = absence.matching_auc.map_or_else(dash, |auc| format!("{auc:.3}"));
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
