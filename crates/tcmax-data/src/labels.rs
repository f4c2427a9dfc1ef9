//! Classes from the words or numbers in a label column, and what such columns are called.

use std::collections::BTreeSet;

use tcmax_registry::Task;

use crate::words::Words;

/// Names of label columns and arrays, the first of them preferred.
pub(crate) const LABELS: [&str; 7] =
    ["label", "labels", "y", "target", "targets", "class", "classes"];
/// Names of columns and arrays of groups.
pub(crate) const GROUPS: [&str; 4] = ["group", "groups", "speaker", "subject"];

/// The columns or arrays of labels and groups, where the user named any.
#[derive(Clone, Copy, Debug, Default)]
pub struct ColumnNames<'a> {
    /// The labels'.
    pub label: Option<&'a str>,
    /// The groups'.
    pub group: Option<&'a str>,
    /// What the labels are; absent: what the file shows, else classes.
    pub task: Option<Task>,
    /// To predict: columns other than these modalities are left out, and labels, groups and splits are
    /// not asked for.
    pub only: Option<&'a [String]>,
}

/// Cells that mean a missing value to most programs. `none`, `-` and the like may be classes.
const MISSING: [&str; 5] = ["na", "n/a", "#n/a", "<na>", "null"];

/// What is wrong with a cell as a label, if anything: empty cells, NaN, infinite numbers and the usual
/// marks of missing values are not classes.
pub(crate) fn wrong_label(cell: &str) -> Option<String> {
    if cell.trim().is_empty() {
        return Some("the label is empty; give its class or remove the row".to_owned());
    }
    let not_finite = cell.parse().is_ok_and(|number: f64| !number.is_finite());
    let missing = MISSING.iter().any(|marker| cell.eq_ignore_ascii_case(marker));
    (not_finite || missing).then(|| {
        format!("the label is '{cell}', which is not a class; give its class or remove the row")
    })
}

/// Class names, sorted, and the class of each cell.
///
/// When every cell is a whole number (`3`, `3.0`), classes are in the order of numbers; otherwise in
/// the order of words.
///
/// # Errors
/// What is wrong with the first cell that is not a label, or a number with a fraction.
pub(crate) fn class_list(cells: &Words) -> Result<(Vec<String>, Vec<u32>), String> {
    if let Some(problem) = cells.names.iter().find_map(|cell| wrong_label(cell)) {
        return Err(problem);
    }
    let numbers: Option<Vec<f64>> = cells.names.iter().map(|cell| cell.parse().ok()).collect();
    let Some(numbers) = numbers else { return Ok((cells.names.clone(), cells.codes.clone())) };
    if let Some(index) = numbers.iter().position(|x| x.fract() != 0.0) {
        let cell = &cells.names[index];
        return Err(format!(
            "label '{cell}' has a fraction; labels are whole numbers or words (the option `task` = \
             regression takes numbers to predict)"
        ));
    }
    let names: BTreeSet<i64> = numbers.iter().map(|&x| x as i64).collect();
    let names: Vec<i64> = names.into_iter().collect();
    let class = |&x: &f64| names.partition_point(|&name| name < x as i64) as u32;
    let of_name: Vec<u32> = numbers.iter().map(class).collect();
    let labels = cells.codes.iter().map(|&code| of_name[code as usize]).collect();
    Ok((names.iter().map(ToString::to_string).collect(), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cells: &[&str]) -> Result<(Vec<String>, Vec<u32>), String> {
        class_list(&Words::of(cells.iter().copied()))
    }

    #[test]
    fn numbers_sort_as_numbers_and_words_as_words() {
        let (names, labels) = of(&["10", "2.0", "-1", "10.0"]).unwrap();
        assert_eq!((names, labels), (vec!["-1".into(), "2".into(), "10".into()], vec![2, 1, 0, 2]));
        let (names, labels) = of(&["10", "2", "ten"]).unwrap();
        assert_eq!((names.len(), labels), (3, vec![0, 1, 2]));
        assert!(of(&["1", "0.5"]).unwrap_err().contains("'0.5' has a fraction"));
    }

    #[test]
    fn marks_of_missing_values_are_no_classes() {
        for cell in ["", " ", "NaN", "inf", "-inf", "NA", "n/a", "null"] {
            assert!(of(&["1", "2", cell]).is_err() && of(&["a", cell]).is_err(), "'{cell}'");
        }
        assert_eq!(of(&["none", "some", "-"]).unwrap().0.len(), 3);
    }
}
