//! Feature files: one safetensors or npz with one array per modality, the labels, and perhaps a split.
//!
//! ```text
//! label | labels | y | target | targets | class   (N,)       whole numbers or words: classes
//!                                                 (N, C)     0 or 1: which of C labels each example has
//!                                                 (N, K)     numbers to predict
//! split                                           (N,)       train, val, test, or 0, 1, 2 in this order
//! group | speaker                                 (N,)       what must not be in two splits
//! id | ids | index                                (N,)       what the examples are called in predictions
//! NAME.present                                    (N,)       1 where modality NAME is there
//! NAME.length                                     (N,)       how many steps of NAME (N, T, D) are there, from 0
//! any other NAME                                  (N, ...)   a modality
//! ```
//!
//! Class names of numbered labels may be given in the safetensors header, as a JSON list called
//! `classes`; names of several labels or numbers too. One number per row, as `target` or `targets`, is to be
//! predicted as a number where one of them has a fraction.

use std::collections::BTreeMap;
use std::path::Path;

use tcmax_registry::Task;

use super::collected::{Collected, CollectedModality, Given};
use super::sequences::{LENGTH, check_lengths, sequences};
use super::target_matrix::{check_values, shown_task, targets};
use crate::arrays::{Array, ArrayKind, read_with_metadata};
use crate::error::{Error, Result};
use crate::labels::{ColumnNames, GROUPS, LABELS};
use crate::problems::{Position, Problems};
use crate::split::{Split, ambiguous_numbers, wrong_split};
use crate::targets::wrong_target;
use crate::words::{Words, WordsBuilder, suggestion};

const IDS: [&str; 3] = ["id", "ids", "index"];
const SPLITS: [&str; 2] = ["split", "splits"];
const PRESENT: &str = ".present";
/// Class names in a header.
const MOST_CLASSES: usize = 1 << 20;

type Arrays = BTreeMap<String, Array>;

/// Reads a feature file; what is wrong with its content goes to `problems`.
pub(super) fn read(
    path: &Path,
    names: ColumnNames<'_>,
    problems: &mut Problems,
) -> Result<Option<Collected>> {
    let (arrays, metadata) = read_with_metadata(path)?;
    let mut arrays: Arrays = arrays.into_iter().map(|array| (array.name.clone(), array)).collect();
    for name in [names.label, names.group].into_iter().flatten() {
        if !arrays.contains_key(name) {
            let what = "there is no such array".to_owned();
            let known = arrays.keys().map(String::as_str);
            problems.add(path, Position::File, name, what + &suggestion(name, known));
        }
    }
    if let Some(only) = names.only {
        return Ok(read_to_predict(path, arrays, only, problems));
    }
    let label = take(&mut arrays, names.label, &LABELS);
    let group = take(&mut arrays, names.group, &GROUPS);
    let split = take(&mut arrays, None, &SPLITS);
    let id = take_ids(&mut arrays);
    let Some(label) = label else {
        if names.label.is_none() {
            let have: Vec<&str> = arrays.keys().map(String::as_str).collect();
            let what = format!(
                "no array of labels; call it 'label', or name it in the option `label` (there are: {})",
                have.join(", ")
            );
            problems.add(path, Position::File, "label", what);
        }
        return Ok(None);
    };
    check_rows(path, &label, group.iter().chain(&split), &arrays, problems);
    let task = names.task.unwrap_or_else(|| shown_task(&label));
    let is_matrix = task != Task::Classes && label.kind != ArrayKind::Text;
    check_likely_labels(path, &label, (task, is_matrix), &arrays, problems);
    if problems.is_empty() {
        match is_matrix {
            true => check_values(path, &label, task, problems),
            false => check_cells(path, &label, task, problems),
        }
    }
    let ids = id.filter(|id| is_column_of(id, label.rows())).map(|id| cells(&id));
    let modalities = modalities_of(path, arrays, problems);
    if modalities.is_empty() {
        problems.add(path, Position::File, "", "there is no array of features beside the labels");
    }
    if !problems.is_empty() {
        return Ok(None);
    }
    let class_names = class_names(path, metadata.get("classes").map(String::as_str))?;
    let labels = match is_matrix {
        true => targets(path, &label, task, class_names, problems).map(Given::Targets),
        false => Some(Given::Cells(label_cells(path, &label, class_names.as_deref(), problems))),
    };
    let splits = split.and_then(|split| splits(path, &split, problems));
    let groups = group.as_ref().map(cells);
    Ok(Some(Collected { modalities, labels, ids, groups, splits }))
}

/// The modalities `only` of a file to predict, without labels, groups and splits.
fn read_to_predict(
    path: &Path,
    mut arrays: Arrays,
    only: &[String],
    problems: &mut Problems,
) -> Option<Collected> {
    let id = take_ids(&mut arrays);
    let all: Vec<String> = arrays.keys().cloned().collect();
    arrays.retain(|name, _| only.iter().any(|o| described(name) == o));
    let Some(first) = arrays.values().find(|array| described(&array.name) == array.name) else {
        let (wanted, there) = (only.join(", "), all.join(", "));
        let what = format!("none of the modalities {wanted} is in it (there are: {there})");
        problems.add(path, Position::File, "", what);
        return None;
    };
    check_rows(path, first, id.iter().take(0), &arrays, problems);
    let ids = id.filter(|id| is_column_of(id, first.rows())).map(|id| cells(&id));
    let modalities = modalities_of(path, arrays, problems);
    Some(Collected { modalities, labels: None, ids, groups: None, splits: None })
}

/// The modalities among some arrays, with their masks.
fn modalities_of(path: &Path, arrays: Arrays, problems: &mut Problems) -> Vec<CollectedModality> {
    let (masks, modalities): (Arrays, Arrays) =
        arrays.into_iter().partition(|(name, _)| name.ends_with(PRESENT));
    let (lengths, modalities): (Arrays, Arrays) =
        modalities.into_iter().partition(|(name, _)| name.ends_with(LENGTH));
    check_masks(path, &masks, &modalities, problems);
    check_lengths(path, &lengths, &modalities, problems);
    let mut collected = Vec::new();
    for (name, array) in modalities {
        if array.kind == ArrayKind::Text {
            let what =
                "an array of words cannot be a modality of a feature file; use a manifest for text";
            problems.add(path, Position::File, &name, what);
            continue;
        }
        let mask = masks.get(&format!("{name}{PRESENT}"));
        let present = |row: usize| {
            mask.is_none_or(|mask| row >= mask.values.len() || mask.values.get(row) != 0.0)
        };
        if let Some(lengths) = lengths.get(&format!("{name}{LENGTH}")) {
            collected.extend(sequences(path, array, lengths, present, problems));
            continue;
        }
        let (shape, values) = (array.shape, array.values);
        collected.push(CollectedModality::new(path, &name, &shape, values, present, problems));
    }
    collected
}

/// The modality that an array belongs to: a mask and lengths are of another.
fn described(name: &str) -> &str {
    name.strip_suffix(PRESENT).or_else(|| name.strip_suffix(LENGTH)).unwrap_or(name)
}

/// Names of examples, which are no modality.
fn take_ids(arrays: &mut Arrays) -> Option<Array> {
    let id = take(arrays, None, &IDS);
    arrays.retain(|name, _| !IDS.contains(&name.as_str()));
    id
}

fn is_column_of(array: &Array, rows: usize) -> bool {
    array.width == 1 && array.rows() == rows
}

fn take(arrays: &mut Arrays, given: Option<&str>, known: &[&str]) -> Option<Array> {
    match given {
        Some(name) => arrays.remove(name),
        None => known.iter().find_map(|name| arrays.remove(*name)),
    }
}

/// All arrays have one row per example, as `first` has; groups and split one number or word per row.
fn check_rows<'a>(
    path: &Path,
    first: &'a Array,
    columns: impl Iterator<Item = &'a Array> + Clone,
    others: &'a Arrays,
    problems: &mut Problems,
) {
    let rows = first.rows();
    for array in others.values().chain(columns.clone()).filter(|array| array.rows() != rows) {
        let what = format!("{} rows, but '{}' has {rows}", array.rows(), first.name);
        problems.add(path, Position::File, &array.name, what);
    }
    for array in columns.filter(|array| array.width != 1) {
        let what = format!("must be one number or word per row, not {}", array.width);
        problems.add(path, Position::File, &array.name, what);
    }
}

/// Classes are one number or word per row, and no second array looks like them.
fn check_likely_labels(
    path: &Path,
    label: &Array,
    (task, is_matrix): (Task, bool),
    others: &Arrays,
    problems: &mut Problems,
) {
    if task == Task::Regression && !is_matrix {
        let what = "holds words, and the task is regression: give numbers";
        problems.add(path, Position::File, &label.name, what);
    }
    if label.width != 1 && !is_matrix {
        let what = format!("must be one number or word per row, not {}", label.width);
        problems.add(path, Position::File, &label.name, what);
    }
    for (name, _) in others.iter().filter(|(name, array)| looks_like_labels(name, array)) {
        let what = format!(
            "looks like labels too, beside '{}'; remove it, name the labels in the option `label`, or \
             rename it if it is a modality",
            label.name
        );
        problems.add(path, Position::File, name, what);
    }
}

fn looks_like_labels(name: &str, array: &Array) -> bool {
    LABELS.contains(&name) && array.width == 1 && array.kind != ArrayKind::Real
}

/// Labels that are not classes, or sets of them, by row.
fn check_cells(path: &Path, label: &Array, task: Task, problems: &mut Problems) {
    let words: Vec<Option<String>> =
        label.words.iter().map(|word| wrong_target(task, word)).collect();
    for (row, value) in label.values.iter().enumerate() {
        let wrong = match label.kind {
            ArrayKind::Text => words.get(value as usize).cloned().flatten(),
            _ if value.is_finite() => None,
            _ => wrong_target(task, &value.to_string()),
        };
        if let Some(what) = wrong {
            problems.add(path, Position::Row(row), &label.name, what);
        }
    }
}

/// Masks hold one truth value per row, for a modality of the file.
fn check_masks(path: &Path, masks: &Arrays, modalities: &Arrays, problems: &mut Problems) {
    for (name, mask) in masks {
        let modality = name.strip_suffix(PRESENT).unwrap_or(name);
        if !modalities.contains_key(modality) {
            let known = modalities.keys().map(String::as_str);
            let what = format!("there is no modality '{modality}'") + &suggestion(modality, known);
            problems.add(path, Position::File, name, what);
        }
        let odd = mask.values.iter().position(|value| value != 0.0 && value != 1.0);
        if mask.width != 1 || mask.kind == ArrayKind::Text {
            let what = "must be one number per row, 1 where the modality is there and 0 where not";
            problems.add(path, Position::File, name, what);
        } else if let Some(row) = odd {
            let what = format!("{} is neither 0 nor 1", mask.values.get(row));
            problems.add(path, Position::Row(row), name, what);
        }
    }
}

/// A one-column array as words.
fn cells(array: &Array) -> Words {
    match array.kind {
        ArrayKind::Text => {
            let codes = array.values.iter().map(|value| value as u32).collect();
            Words { names: array.words.clone(), codes }
        }
        _ => {
            let mut words = WordsBuilder::with_capacity(array.rows());
            array.values.iter().for_each(|value| words.push(&value.to_string()));
            words.finish()
        }
    }
}

fn label_cells(
    path: &Path,
    label: &Array,
    class_names: Option<&[String]>,
    problems: &mut Problems,
) -> Words {
    let Some(names) = class_names.filter(|_| label.kind != ArrayKind::Text) else {
        return cells(label);
    };
    let mut named = WordsBuilder::with_capacity(label.rows());
    for (row, value) in label.values.iter().enumerate() {
        match names.get(value as usize).filter(|_| value >= 0.0 && value.fract() == 0.0) {
            Some(name) => named.push(name),
            None => {
                let what = format!("label {value} is not one of the {} classes", names.len());
                problems.add(path, Position::Row(row), &label.name, what);
            }
        }
    }
    named.finish()
}

fn splits(path: &Path, split: &Array, problems: &mut Problems) -> Option<Vec<Split>> {
    let cells = cells(split);
    let of_word: Vec<Option<Split>> = cells.names.iter().map(|word| Split::parse(word)).collect();
    for (row, &code) in cells.codes.iter().enumerate() {
        if of_word[code as usize].is_none() {
            let what = wrong_split(&cells.names[code as usize]);
            problems.add(path, Position::Row(row), &split.name, what);
        }
    }
    if let Some(what) = ambiguous_numbers(cells.names.iter().map(String::as_str)) {
        problems.add(path, Position::File, &split.name, what);
        return None;
    }
    cells.codes.iter().map(|&code| of_word[code as usize]).collect()
}

/// The list `classes` in the header of a safetensors file.
fn class_names(path: &Path, list: Option<&str>) -> Result<Option<Vec<String>>> {
    let Some(list) = list else { return Ok(None) };
    let bad = |problem: String| Error::bad_file(path, format!("'classes' in the header {problem}"));
    if list.bytes().filter(|&byte| byte == b',').count() > MOST_CLASSES {
        return Err(bad(format!("has more than {MOST_CLASSES} names")));
    }
    serde_json::from_str(list).map(Some).map_err(|e| bad(format!("is not a JSON list: {e}")))
}
