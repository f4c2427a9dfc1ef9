//! Feature files: one safetensors or npz with an array a modality, the labels, and perhaps a split.
//!
//! ```text
//! label | labels | y | target | targets | class   (N,)       whole numbers or words
//! split                                           (N,)       train, val, test, or 0, 1, 2
//! group | speaker                                 (N,)       what must not be in two parts
//! id | ids                                                   not used
//! NAME.present                                    (N,)       1 where modality NAME is there
//! any other NAME                                  (N, ...)   a modality
//! ```
//!
//! Class names of numbered labels may stand in the safetensors header, as a JSON list called
//! `classes`.

use std::collections::BTreeMap;
use std::path::Path;

use super::collected::{Collected, CollectedModality};
use super::partition::Part;
use crate::arrays::{Array, ArrayKind, read_arrays};
use crate::{Place, Problems, Result};

const LABELS: [&str; 7] = ["label", "labels", "y", "target", "targets", "class", "classes"];
const GROUPS: [&str; 4] = ["group", "groups", "speaker", "subject"];
const IDS: [&str; 3] = ["id", "ids", "index"];
const SPLITS: [&str; 2] = ["split", "splits"];
const PRESENT: &str = ".present";

/// Names the user gave; others are looked for.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) label: Option<&'a str>,
    pub(super) group: Option<&'a str>,
}

/// Reads a feature file; what is wrong with its content goes to `problems`.
pub(super) fn read(
    path: &Path,
    names: Names<'_>,
    problems: &mut Problems,
) -> Result<Option<Collected>> {
    super::media_file::check(path, "")?;
    let mut arrays: BTreeMap<String, Array> =
        read_arrays(path)?.into_iter().map(|array| (array.name.clone(), array)).collect();
    let label = take(&mut arrays, names.label, &LABELS);
    let group = take(&mut arrays, names.group, &GROUPS);
    let split = take(&mut arrays, None, &SPLITS);
    arrays.retain(|name, _| !IDS.contains(&name.as_str()));
    let Some(label) = label else {
        let have: Vec<&str> = arrays.keys().map(String::as_str).collect();
        let what = format!(
            "no array of labels; call it 'label', or name it with --label (there are: {})",
            have.join(", ")
        );
        problems.add(path, Place::File, names.label.unwrap_or("label"), what);
        return Ok(None);
    };
    let rows = label.rows();
    same_rows(path, rows, arrays.values().chain(&group).chain(&split), &label.name, problems);
    if label.width != 1 {
        let what = format!("labels are one number or word a row, not {}", label.width);
        problems.add(path, Place::File, &label.name, what);
    }
    let (masks, modalities): (BTreeMap<_, _>, BTreeMap<_, _>) =
        arrays.into_iter().partition(|(name, _)| name.ends_with(PRESENT));
    if modalities.is_empty() {
        problems.add(path, Place::File, "", "there is no array of features beside the labels");
    }
    let mut collected = Vec::new();
    for (name, array) in modalities {
        if array.kind == ArrayKind::Text {
            let what =
                "an array of words is no modality of a feature file; use a manifest for text";
            problems.add(path, Place::File, &name, what);
            continue;
        }
        let mask = masks.get(&format!("{name}{PRESENT}"));
        let present = |row: usize| mask.is_none_or(|mask| mask.values.get(row) != Some(&0.0));
        let (shape, values) = (&array.shape, &array.values);
        collected.push(CollectedModality::new(path, &name, shape, values, present, problems));
    }
    for name in masks.keys() {
        let modality = name.strip_suffix(PRESENT).unwrap_or(name);
        if !collected.iter().any(|c| c.modality.name == modality) {
            problems.add(path, Place::File, name, "there is no modality of this name");
        }
    }
    if !problems.is_empty() {
        return Ok(None);
    }
    let class_names = class_names(path)?;
    Ok(Some(Collected {
        modalities: collected,
        labels: label_cells(path, &label, class_names.as_deref(), problems),
        groups: group.as_ref().map(cells),
        parts: split.and_then(|split| parts(path, &split, problems)),
    }))
}

fn take(
    arrays: &mut BTreeMap<String, Array>,
    given: Option<&str>,
    known: &[&str],
) -> Option<Array> {
    match given {
        Some(name) => arrays.remove(name),
        None => known.iter().find_map(|name| arrays.remove(*name)),
    }
}

fn same_rows<'a>(
    path: &Path,
    rows: usize,
    others: impl Iterator<Item = &'a Array>,
    label: &str,
    problems: &mut Problems,
) {
    for array in others.filter(|array| array.rows() != rows) {
        let what = format!("{} rows, but '{label}' has {rows}", array.rows());
        problems.add(path, Place::File, &array.name, what);
    }
}

/// A one-column array as words.
fn cells(array: &Array) -> Vec<String> {
    let cell = |&value: &f64| match array.kind {
        ArrayKind::Text => array.words[value as usize].clone(),
        _ => value.to_string(),
    };
    array.values.iter().map(cell).collect()
}

fn label_cells(
    path: &Path,
    label: &Array,
    class_names: Option<&[String]>,
    problems: &mut Problems,
) -> Vec<String> {
    let Some(names) = class_names else { return cells(label) };
    let mut named = Vec::with_capacity(label.values.len());
    for (row, &value) in label.values.iter().enumerate() {
        match names.get(value as usize).filter(|_| value >= 0.0 && value.fract() == 0.0) {
            Some(name) => named.push(name.clone()),
            None => {
                let what = format!("label {value} is not one of the {} classes", names.len());
                problems.add(path, Place::Row(row), &label.name, what);
            }
        }
    }
    named
}

fn parts(path: &Path, split: &Array, problems: &mut Problems) -> Option<Vec<Part>> {
    let mut parts = Vec::with_capacity(split.values.len());
    for (row, cell) in cells(split).iter().enumerate() {
        match Part::parse(cell) {
            Some(part) => parts.push(part),
            None => {
                let what = format!("'{cell}' is not train, val or test (or 0, 1, 2)");
                problems.add(path, Place::Row(row), &split.name, what);
            }
        }
    }
    (parts.len() == split.values.len()).then_some(parts)
}

/// The list `classes` in the header of a safetensors file.
fn class_names(path: &Path) -> Result<Option<Vec<String>>> {
    if super::layout::ending(path).as_deref() != Some("safetensors") {
        return Ok(None);
    }
    let header = crate::shards::header(path)?;
    let list = header.metadata().as_ref().and_then(|metadata| metadata.get("classes")).cloned();
    let Some(list) = list else { return Ok(None) };
    serde_json::from_str(&list).map(Some).map_err(|e| {
        crate::Error::bad_file(path, format!("'classes' in the header is not a JSON list: {e}"))
    })
}
