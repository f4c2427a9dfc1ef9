//! Arrays of labels that are no classes: matrices of 0 and 1, and numbers.

use std::path::Path;

use tcmax_registry::Task;

use crate::arrays::{Array, ArrayKind};
use crate::problems::{Position, Problems};
use crate::targets::{Targets, wrong_value};

/// What an array of labels shows of the task: several columns of 0 and 1 are labels, of other numbers to be
/// predicted; so are single ones with a fraction that are called targets.
pub(super) fn shown_task(label: &Array) -> Task {
    if label.kind == ArrayKind::Text {
        return Task::Classes;
    }
    let all = |fits: fn(f64) -> bool| label.values.iter().all(fits);
    match label.width {
        1 => {
            let is_target = label.name == "target" || label.name == "targets";
            let is_whole = label.kind == ArrayKind::Integer || all(|value| value.fract() == 0.0);
            if is_target && !is_whole { Task::Regression } else { Task::Classes }
        }
        _ if label.kind == ArrayKind::Integer || all(|value| value == 0.0 || value == 1.0) => {
            Task::Labels
        }
        _ => Task::Regression,
    }
}

/// Values of a matrix that are no targets, by row.
pub(super) fn check_values(path: &Path, label: &Array, task: Task, problems: &mut Problems) {
    for (index, value) in label.values.iter().enumerate() {
        let what = match task {
            Task::Regression => wrong_value(value),
            _ if value == 0.0 || value == 1.0 => None,
            _ => Some(format!("{value} is neither 0 nor 1; write 1 for each label of an example")),
        };
        if let Some(what) = what {
            let (row, column) = (index / label.width, index % label.width);
            let what = format!("column {column}: {what}");
            problems.add(path, Position::Row(row), &label.name, what);
        }
    }
}

/// The labels or numbers of a matrix, called by the names in the header where there are any.
pub(super) fn targets(
    path: &Path,
    label: &Array,
    task: Task,
    names: Option<Vec<String>>,
    problems: &mut Problems,
) -> Option<Targets> {
    let names = match names {
        Some(names) if names.len() == label.width => names,
        Some(names) => {
            let what = format!(
                "{} columns, and 'classes' in the header names {}",
                label.width,
                names.len()
            );
            problems.add(path, Position::File, &label.name, what);
            return None;
        }
        None if label.width == 1 => vec![label.name.clone()],
        None if task == Task::Regression => {
            (0..label.width).map(|column| format!("{} {column}", label.name)).collect()
        }
        None => (0..label.width).map(|column| column.to_string()).collect(),
    };
    let values = label.values.iter().map(|value| value as f32).collect();
    Some(Targets { task, names, values })
}
