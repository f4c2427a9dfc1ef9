//! The tables of a comparison: which quantities of the methods stand side by side.

use tcmax_metrics::{PairedDifference, holm};
use tcmax_train::Task;
use tcmax_train::results::{RunResult, SuiteResult};

use crate::table::column::{Cell, Column, ColumnKind, PERCENT};
use crate::table::cost::costs;
use crate::table::information;
use crate::table::metrics::{contributions, further, published};
use crate::table::modalities::{absences, probes, zeros};
use crate::table::remarks::is_unbalanced;

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

/// The position of the method that others are compared with: the one that was named, or joint training, or
/// the first.
pub fn baseline(result: &SuiteResult) -> Option<usize> {
    let named = result.baseline.as_ref();
    let named = named.and_then(|name| result.methods.iter().position(|m| m.name == *name));
    if named.is_some() {
        return named;
    }
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
        section("Results", &results_note(result.dataset.task), results(result)),
        section(
            &format!("Differences to {against}"),
            &format!("{DIFFERENCES_NOTE}{}", resampling(result)),
            differences(result),
        ),
        section("Further metrics", further_note(result.dataset.task), further(result)),
        section(
            "What each modality adds",
            "Shapley values: the mean gain in accuracy, in points, over all orders in which modalities could \
             be added, absent ones averaged out over the training split. They add up to the accuracy less \
             that without any modality.",
            contributions(result),
        ),
        section(
            "Probes",
            "A probe is a logistic regression on a modality's frozen features: what can be read out of \
             them, whatever the head makes of it.",
            probes(result),
        ),
        section("Information in the features", information::NOTE, information::columns(result)),
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

const DIFFERENCES_NOTE: &str = "Means of the differences over the same seeds, in points of percent, nats or \
                                the unit of the column, with 95% t intervals; p values of paired t-tests, corrected for the \
                                number of methods in a column (Holm).";

/// What tests allow for where the seeds' test splits share examples.
fn resampling(result: &SuiteResult) -> &'static str {
    match result.dataset.resampled {
        false => "",
        true => {
            " Every seed drew its own test split from the same examples: the tests allow for what runs \
                 share (Nadeau and Bengio 2003)."
        }
    }
}

const RESULTS_NOTE: &str = "Means over the seeds with 95% t intervals, on the test split, from the weights \
                            of the epoch with the best validation accuracy (of equals, the lowest \
                            cross-entropy). A modality's column is the accuracy of its own logits on the \
                            examples that have it. The bound is on the total correlation of all features \
                            and the label, over the tuples of the test split; of a head that is a sum \
                            of logits it can show no more than the sum of what each modality tells of \
                            the label, since such a head never sees which features came with which.";

/// What the further metrics are.
fn further_note(task: Task) -> &'static str {
    match task {
        Task::Classes => {
            "Means over the classes of balanced accuracy, F1, the area under the ROC curve and average \
             precision (one class against the rest); the log loss; the Brier score, 0 to 2; and the expected \
             calibration error over 15 bins: how far confidence and accuracy are apart."
        }
        Task::Labels => {
            "F1 as a mean over the labels and of all decisions together, where a label is predicted from a \
             probability of one half on; the mean area under the ROC curve; examples of which every label is \
             right; and the mean cross-entropy of a decision."
        }
        Task::Regression => {
            "The mean absolute error; the share of the variance that is explained (R2); and Pearson's \
             correlation of predictions and numbers. Means over the numbers where there are several."
        }
    }
}

/// What the columns of the first table are.
fn results_note(task: Task) -> String {
    match task {
        Task::Classes => RESULTS_NOTE.to_owned(),
        Task::Labels => "Means over the seeds with 95% t intervals, on the test split, from the weights of the \
                         epoch with the best validation mAP, the mean over the labels of the average \
                         precision (of equals, the lowest cross-entropy). A modality's column is the mAP of \
                         its own logits on the examples that have it. The bound is the sum over the labels of \
                         that on the total correlation of all features and the label, over the tuples of the \
                         test split."
            .to_owned(),
        Task::Regression => "Means over the seeds with 95% t intervals, on the test split, from the weights of \
                             the epoch with the lowest validation RMSE (root mean squared error, in the unit \
                             of what is predicted): less is better. A modality's column is the RMSE of its own \
                             outputs, their mean error taken off, on the examples that have it."
            .to_owned(),
    }
}

/// Accuracies and the bound, for every method and averaged over the seeds.
pub fn columns(result: &SuiteResult) -> Vec<Column> {
    let fused = |run: &RunResult| Some(run.test.score());
    let mut columns = vec![Column::of_metric(result, "fused", &fused)];
    for (m, name) in result.dataset.modalities.iter().enumerate() {
        let own = |run: &RunResult| run.test.modality_scores().get(m).copied().flatten();
        columns.push(Column::of_metric(result, name, &own));
    }
    if is_unbalanced(result) {
        let balanced = |run: &RunResult| Some(run.test.balanced_accuracy);
        let what = ("balanced %".to_owned(), ColumnKind::Absence, 1);
        columns.push(Column::over_runs(result, what, PERCENT, &balanced));
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

/// The columns of the first table: with what was published, where something was.
fn results(result: &SuiteResult) -> Vec<Column> {
    let mut all = columns(result);
    let place = all.len().min(1);
    all.insert(place, published(result));
    all
}

/// The positions of the methods that have any of the quantities.
pub fn rows_of(result: &SuiteResult, columns: &[Column]) -> Vec<usize> {
    let has_any = |row: &usize| columns.iter().any(|column| column.cells[*row].is_some());
    (0..result.methods.len()).filter(has_any).collect()
}

/// What methods differ by from the baseline over the same seeds, in each column of [`columns`] in which a best
/// one can be named.
pub fn differences(result: &SuiteResult) -> Vec<Column> {
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
