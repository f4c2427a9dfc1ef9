//! Data without labels, opened for the modalities of a model.

use std::path::Path;
use std::sync::Arc;

use super::data::table_of;
use super::layout::Layout;
use super::{csv_features, feature_file};
use crate::arrays::array_names;
use crate::dataset::{Dataset, Modality};
use crate::error::{Error, Result};
use crate::labels::{ColumnNames, LABELS};
use crate::manifest::Manifest;
use crate::problems::{Position, Problems};
use crate::shards::{Description, MANIFEST_FILE, Prepared, read_rows};

/// Whether the data at a path have labels, in the array or column `label` or in one of the usual names.
/// Feature tables have none where a row has exactly as many cells as a modality of their name has
/// numbers.
///
/// # Errors
/// When there is nothing at the path, or it cannot be read at all.
pub fn has_labels(path: &Path, label: Option<&str>, modalities: &[Modality]) -> Result<bool> {
    match Layout::of(path)? {
        Layout::FeatureFile(file) => {
            let is_label = |name: &String| match label {
                Some(label) => name == label,
                // A modality of the model may be called so.
                None => {
                    LABELS.contains(&name.as_str()) && modalities.iter().all(|m| m.name != *name)
                }
            };
            Ok(array_names(&file)?.iter().any(is_label))
        }
        Layout::FeatureTables { path } => {
            for (file, width) in csv_features::files_of(&path, &widths(modalities))? {
                if csv_features::is_without_label(&file, width)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Layout::Manifest(file) => Manifest::has_labels(&file, label),
        Layout::Prepared(folder) => {
            let sum = Description::read(&folder)?.manifest_sha256;
            let rows = read_rows(&folder.join(MANIFEST_FILE), &sum)?;
            Ok(rows.iter().any(|row| !row.label.is_empty()))
        }
    }
}

/// Every example at a path, with those of `modalities` that are there; labels, groups and splits are not
/// read. The result has no classes ([`Dataset::is_labelled`]) unless the path holds prepared clips that
/// have labels.
///
/// # Errors
/// Everything that is wrong with the data, at once; or that it is a manifest of media, which has to be
/// prepared first.
pub fn open_to_predict(path: &Path, modalities: &[Modality]) -> Result<Arc<dyn Dataset>> {
    let mut problems = Problems::new();
    let names: Vec<String> = modalities.iter().map(|modality| modality.name.clone()).collect();
    let collected = match Layout::of(path)? {
        Layout::Prepared(folder) => return Ok(Arc::new(Prepared::open(&folder)?)),
        Layout::FeatureFile(file) => {
            let columns = ColumnNames { only: Some(&names), ..ColumnNames::default() };
            feature_file::read(&file, columns, &mut problems)?
        }
        Layout::FeatureTables { path } => {
            csv_features::read_to_predict(&path, &widths(modalities), &mut problems)?
        }
        Layout::Manifest(_) => {
            let problem = "a manifest names media files: `tcmax prepare` makes clips of them";
            return Err(Error::bad_file(path, problem));
        }
    };
    if problems.is_empty() && collected.as_ref().is_none_or(|c| c.modalities.is_empty()) {
        problems.add(path, Position::File, "", "there are no examples in it");
    }
    problems.into_result()?;
    let Some(collected) = collected else {
        return Err(Error::bad_file(path, "there are no examples in it"));
    };
    let rows = collected.modalities.first().map_or(0, |modality| modality.rows.len());
    Ok(table_of(collected.modalities, Vec::new(), vec![0; rows], collected.ids))
}

fn widths(modalities: &[Modality]) -> Vec<(&str, usize)> {
    modalities.iter().map(|modality| (modality.name.as_str(), modality.len())).collect()
}
