//! The table of one data set.

use tcmax_train::results::SuiteResult;

use super::board::BoardSet;
use super::grid::{Entry, Grid, Mark};
use crate::table::chosen;
use crate::table::{Column, ColumnKind, LEVEL, baseline, board_columns, columns};

/// What the columns are.
pub(super) const NOTE: &str = "Means over the seeds with 95% t intervals, on the test split, from the weights of the \
    epoch and of the candidate with the best validation accuracy. To joint: the mean of the differences over the same \
    seeds, with the p value of a paired t-test, corrected for the number of methods (Holm); bold where it is below 0.05. \
    Shapley imbalance: the largest less the smallest Shapley value of a modality for the accuracy. Worst probe: a \
    logistic regression on the frozen features of the modality that has the worst. One missing: accuracy with a modality \
    absent from every test example, averaged out over the training split, the mean over the modalities. A step's time is \
    its median over all runs, in brackets those of the fastest and the slowest seed, measured while other runs went on; \
    memory is a step's largest beyond that of joint training. Chosen: by how many runs, on the validation split.";

/// The methods, best mean first; those without any result are left out.
pub(super) fn table(set: &BoardSet) -> Grid {
    let result = &set.result;
    let columns = board_columns(result);
    let mut header = vec!["method".to_owned(), "runs".to_owned()];
    header.extend(columns.iter().map(|column| column.heading.clone()));
    header.push("chosen".to_owned());
    let row = |n: usize| {
        let method = &result.methods[n];
        let mut row = vec![Entry::plain(&method.name), Entry::plain(method.runs.len().to_string())];
        row.extend(columns.iter().map(|column| entry(column, n)));
        row.push(Entry::plain(chosen(method)));
        row
    };
    Grid { header, rows: ranked(result).into_iter().map(row).collect() }
}

/// The methods that have an accuracy, best mean first.
pub(super) fn ranked(result: &SuiteResult) -> Vec<usize> {
    let mean = |row: usize| accuracy(result, row);
    let mut rows: Vec<(usize, f64)> =
        (0..result.methods.len()).filter_map(|row| Some((row, mean(row)?))).collect();
    rows.sort_by(|one, other| other.1.total_cmp(&one.1));
    rows.into_iter().map(|(row, _)| row).collect()
}

/// The mean accuracy of a method in percent.
pub(super) fn accuracy(result: &SuiteResult, row: usize) -> Option<f64> {
    let fused = columns(result).into_iter().next()?;
    Some((*fused.cells.get(row)?)?.interval.mean)
}

fn entry(column: &Column, row: usize) -> Entry {
    let entry = Entry::of_parts(column.text(row));
    match column.kind {
        ColumnKind::Difference => Entry { mark: mark(column, row), ..entry },
        _ => entry,
    }
}

/// Whether a difference to the baseline is beyond chance.
pub(super) fn mark(column: &Column, row: usize) -> Mark {
    let Some(cell) = column.cells.get(row).copied().flatten() else { return Mark::None };
    match cell.p.is_some_and(|p| p < LEVEL) {
        false => Mark::None,
        true if cell.interval.mean > 0.0 => Mark::Better,
        true => Mark::Worse,
    }
}

/// The name of the method that others are compared with.
pub(super) fn against(result: &SuiteResult) -> Option<&str> {
    baseline(result).map(|row| result.methods[row].name.as_str())
}
