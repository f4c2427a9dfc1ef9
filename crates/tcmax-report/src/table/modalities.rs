//! What single modalities are worth: probes of their features, and models without them.

use tcmax_train::results::{Absence, SuiteResult};

use crate::table::column::{Column, ColumnKind, PERCENT};

/// Accuracies of linear probes.
pub(super) fn probes(result: &SuiteResult) -> Vec<Column> {
    let probe = |(m, name): (usize, &String)| {
        let what = (format!("probe {name} %"), ColumnKind::Probe, 1);
        Column::over_runs(result, what, PERCENT, &|run| {
            run.probe_accuracy.get(m).copied().flatten()
        })
    };
    result.dataset.modalities.iter().enumerate().map(probe).collect()
}

/// Models without one of their modalities; none where no model has two.
pub(super) fn absences(result: &SuiteResult) -> Vec<Column> {
    let mut columns = per_modality(result, "without", &|absence| &absence.accuracy_without);
    let auc = ("AUC, matched".to_owned(), ColumnKind::Absence, 3);
    columns.push(Column::over_runs(result, auc, 1.0, &|run| run.absence.as_ref()?.matching_auc));
    columns
}

/// Models with zeros for one of their modalities.
pub(super) fn zeros(result: &SuiteResult) -> Vec<Column> {
    per_modality(result, "zeros for", &|absence| &absence.accuracy_with_zeros)
}

fn per_modality(
    result: &SuiteResult,
    what: &str,
    quantity: &dyn Fn(&Absence) -> &Vec<Option<f64>>,
) -> Vec<Column> {
    let column = |(m, name): (usize, &String)| {
        let heading = (format!("{what} {name} %"), ColumnKind::Absence, 1);
        Column::over_runs(result, heading, PERCENT, &|run| {
            quantity(run.absence.as_ref()?).get(m).copied().flatten()
        })
    };
    result.dataset.modalities.iter().enumerate().map(column).collect()
}
