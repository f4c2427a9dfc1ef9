//! Sequences of a feature file: an array (N, T, D) and how many of the T steps each row has.

use std::collections::BTreeMap;
use std::path::Path;

use super::collected::CollectedModality;
use crate::arrays::{Array, ArrayKind};
use crate::problems::{Position, Problems};
use crate::words::suggestion;

/// What follows the name of a modality in the name of the array of its lengths.
pub(super) const LENGTH: &str = ".length";

type Arrays = BTreeMap<String, Array>;

/// What an array with lengths holds; an example of length 0 is absent.
pub(super) fn sequences(
    path: &Path,
    array: Array,
    lengths: &Array,
    present: impl Fn(usize) -> bool,
    problems: &mut Problems,
) -> Option<CollectedModality> {
    let name = array.name.clone();
    let &[steps, features] = &array.shape[..] else {
        let what = format!(
            "has the lengths '{}', so it must be (rows, steps, features), not {} dimensions",
            lengths.name,
            array.shape.len() + 1
        );
        problems.add(path, Position::File, &name, what);
        return None;
    };
    let lengths: Vec<usize> = lengths.values.iter().map(|length| length as usize).collect();
    let there = |row: usize| present(row) && lengths.get(row).is_some_and(|length| *length > 0);
    let values = array.values.into_f32();
    let mut items = Vec::with_capacity(lengths.len() * steps * (features + 1));
    for (row, input) in values.chunks_exact((steps * features).max(1)).enumerate() {
        let length = lengths.get(row).copied().unwrap_or(0);
        for (step, values) in input.chunks_exact(features.max(1)).enumerate() {
            if step < length {
                items.extend_from_slice(values);
                items.push(1.0);
            } else {
                // Whatever stands there is no part of the sequence.
                items.resize(items.len() + features + 1, 0.0);
            }
        }
    }
    Some(CollectedModality::sequence(path, &name, [steps, features + 1], items, there, problems))
}

/// Lengths are whole numbers from 0 to the steps, of an array that is there.
pub(super) fn check_lengths(
    path: &Path,
    lengths: &Arrays,
    modalities: &Arrays,
    problems: &mut Problems,
) {
    for (name, array) in lengths {
        let modality = name.strip_suffix(LENGTH).unwrap_or(name);
        let Some(sequence) = modalities.get(modality) else {
            let known = modalities.keys().map(String::as_str);
            let what = format!("there is no modality '{modality}'") + &suggestion(modality, known);
            problems.add(path, Position::File, name, what);
            continue;
        };
        if array.width != 1 || array.kind == ArrayKind::Text {
            let what = "must be one number per row: how many steps the sequence has";
            problems.add(path, Position::File, name, what);
            continue;
        }
        let steps = sequence.shape.first().copied().unwrap_or(1);
        let fits = |length: f64| length.fract() == 0.0 && (0.0..=steps as f64).contains(&length);
        if let Some((row, length)) =
            array.values.iter().enumerate().find(|(_, length)| !fits(*length))
        {
            let what =
                format!("{length} is no whole number from 0 to {steps}, the steps of '{modality}'");
            problems.add(path, Position::Row(row), name, what);
        }
    }
}
