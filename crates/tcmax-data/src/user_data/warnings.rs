//! What is not wrong with data but makes results doubtful: copies of examples in several splits, classes
//! of one example, inputs that never change.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use tcmax_ops::Seed;
use tcmax_registry::Task;

use crate::dataset::{Dataset, ModalityKind};
use crate::error::Result;
use crate::split::Split;
use crate::targets::Targets;

/// How many rows or columns are named.
const NAMED: usize = 5;

/// Warnings of data in memory; every input is read once.
pub(super) fn of_examples(data: &dyn Dataset, splits: Option<&[Split]>) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut keys = vec![Some(DefaultHasher::new()); data.len()];
    let mut present = vec![false; data.len()];
    for (m, modality) in data.modalities().iter().enumerate() {
        let mut input = vec![0.0; modality.len()];
        let mut first: Option<Vec<f32>> = None;
        let mut changes = vec![false; modality.len()];
        let mut counts = true;
        for row in 0..data.len() {
            let Some(key) = &mut keys[row] else { continue };
            key.write_u8(u8::from(data.present(row, m)));
            if !data.present(row, m) {
                continue;
            }
            present[row] = true;
            data.read(row, m, Seed::new(0), &mut input)?;
            input.iter().for_each(|value| key.write_u32(value.to_bits()));
            let first = first.get_or_insert_with(|| input.clone());
            for ((changes, value), first) in changes.iter_mut().zip(&input).zip(first.iter()) {
                *changes |= value.to_bits() != first.to_bits();
            }
            counts &= input[0] == first[0] + row as f32;
        }
        warnings.extend(constant(&modality.name, modality.kind, &changes));
        if counts && data.len() > 2 && modality.kind == ModalityKind::Features {
            warnings.push(format!(
                "column 0 of '{}' counts the rows: an index that pandas wrote? It gives the order of \
                 the rows away (index=False when writing)",
                modality.name
            ));
        }
    }
    let keys: Vec<Option<u64>> = keys
        .into_iter()
        .zip(present)
        .map(|(key, there)| key.filter(|_| there).map(|k| k.finish()))
        .collect();
    if data.task() == Task::Classes {
        let mut counts = vec![0; data.classes().len()];
        (0..data.len()).for_each(|row| counts[data.label(row) as usize] += 1);
        warnings.extend(single_classes(data.classes(), &counts));
    }
    warnings.extend(copies(&keys, splits));
    Ok(warnings)
}

fn constant(name: &str, kind: ModalityKind, changes: &[bool]) -> Option<String> {
    let still: Vec<usize> = (0..changes.len()).filter(|&c| !changes[c]).collect();
    if still.len() == changes.len() {
        return Some(format!("modality '{name}' is the same in every example"));
    }
    if still.is_empty() || kind != ModalityKind::Features {
        return None;
    }
    let of = changes.len();
    Some(format!("{} of the {of} columns of '{name}' never change ({})", still.len(), some(&still)))
}

/// Labels that every example has, or none; rows of one label each, which are classes; numbers that never change.
pub(super) fn of_targets(targets: &Targets) -> Vec<String> {
    let columns = targets.names.len().max(1);
    let rows = targets.values.len() / columns;
    if targets.task == Task::Regression {
        let still = |column: &usize| {
            let mut values = targets.values.iter().skip(*column).step_by(columns);
            let first = values.next();
            values.all(|value| Some(value) == first)
        };
        let names = (0..columns).filter(still).map(|column| &targets.names[column]);
        return names.map(|name| format!("'{name}' is the same number in every example")).collect();
    }
    let counts = targets.counts();
    let constant = targets.names.iter().zip(&counts).filter(|(_, count)| [0, rows].contains(count));
    let names: Vec<&str> = constant.map(|(name, _)| name.as_str()).collect();
    let mut warnings = Vec::new();
    if !names.is_empty() {
        let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED { ", ..." } else { "" };
        warnings.push(format!(
            "every example or none has the labels {shown}{more}: nothing can be learned of them"
        ));
    }
    if targets.values.chunks_exact(columns).all(|row| row.iter().sum::<f32>() == 1.0) && columns > 1
    {
        let text = "every example has exactly one label: if it is always one, they are classes (the option `task`)";
        warnings.push(text.to_owned());
    }
    warnings
}

/// Classes of one example: it cannot be both in train and in test.
pub(super) fn single_classes(classes: &[String], counts: &[usize]) -> Option<String> {
    let single: Vec<&str> = classes
        .iter()
        .zip(counts)
        .filter(|(_, n)| **n == 1)
        .map(|(name, _)| name.as_str())
        .collect();
    let (count, shown) = (single.len(), single.iter().take(NAMED).copied().collect::<Vec<_>>());
    let (shown, more) = (shown.join(", "), if count > NAMED { ", ..." } else { "" });
    (count > 0).then(|| {
        let plural = if count == 1 { "class has" } else { "classes have" };
        format!("{count} {plural} one example only ({shown}{more}), which cannot be in both train and test")
    })
}

/// Examples with equal keys, in different splits where the data have them; rows without a key are not
/// compared.
pub(super) fn copies<K: Ord>(keys: &[Option<K>], splits: Option<&[Split]>) -> Option<String> {
    let mut rows: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for (row, key) in keys.iter().enumerate() {
        if let Some(key) = key {
            rows.entry(key).or_default().push(row);
        }
    }
    let mut same: Vec<&Vec<usize>> = rows.values().filter(|rows| rows.len() > 1).collect();
    same.sort();
    let pairs = same.iter().take(NAMED).map(|rows| format!("{} and {}", rows[0], rows[1]));
    let Some(splits) = splits else {
        let count: usize = same.iter().map(|rows| rows.len() - 1).sum();
        return (count > 0).then(|| {
            let shown = pairs.collect::<Vec<_>>().join(", ");
            let more = if same.len() > NAMED { ", ..." } else { "" };
            format!(
                "{count} examples are copies of others (rows {shown}{more}); a random split puts copies \
                 into both train and test: remove them, or keep them together in a split by group"
            )
        });
    };
    let learned = |rows: &[usize]| rows.iter().copied().find(|&row| splits[row] == Split::Train);
    let mut tested = 0;
    let mut shown = Vec::new();
    for rows in &same {
        let Some(train) = learned(rows) else { continue };
        let others = rows.iter().filter(|&&row| splits[row] != Split::Train);
        for &row in others {
            tested += 1;
            if shown.len() < NAMED {
                shown.push(format!("{train} and {row}"));
            }
        }
    }
    (tested > 0).then(|| {
        let more = if tested > NAMED { ", ..." } else { "" };
        format!(
            "{tested} examples of validation and test are copies of training examples (rows {}{more})",
            shown.join(", ")
        )
    })
}

fn some(numbers: &[usize]) -> String {
    let shown: Vec<String> = numbers.iter().take(NAMED).map(ToString::to_string).collect();
    shown.join(", ") + if numbers.len() > NAMED { ", ..." } else { "" }
}
