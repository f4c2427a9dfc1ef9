//! Plans of manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use rayon::prelude::*;
use tcmax_data::manifest::{Manifest, ManifestRow, MediaColumn, MediaKind, is_file};
use tcmax_data::shards::Augment;
use tcmax_data::{ColumnNames, Position, Problems};

use super::plan::{Item, Plan, Source, parse_recipe_text};
use super::progress::PrepareProgress;
use super::run::make;
use crate::apply::read_vector;
use crate::error::{Error, Result};
use crate::transform::{Pick, Transform};

/// The plan of a manifest: one clip per row, one modality per media column.
///
/// `transforms` names what to make of columns; the others get the recipe of CREMA-D (sound), three
/// frames, one picture, or 1,024 buckets of words.
///
/// # Errors
/// Everything that is wrong with the manifest, at once.
pub fn manifest_plan(
    path: &Path,
    root: Option<&Path>,
    names: ColumnNames<'_>,
    transforms: &BTreeMap<String, Transform>,
    progress: &dyn PrepareProgress,
) -> Result<Plan> {
    let mut problems = Problems::new();
    let manifest = Manifest::read(path, root, names, &mut problems)?;
    for name in transforms.keys() {
        if !manifest.columns.iter().any(|column| column.name == *name) {
            problems.add(
                path,
                Position::File,
                name,
                "the recipe names it, but there is no such column",
            );
        }
    }
    if !problems.is_empty() {
        // Whoever has to fix some files wants to know of all.
        check(&manifest, &mut problems, progress);
    }
    problems.into_result()?;
    plan_of(&manifest, transforms)
}

/// The plan of a manifest for a model: as [`manifest_plan`], with what its inputs were made by, in the words
/// of [`Plan::recipe_text`]; columns that the recipe does not name get the usual transforms, and it may name
/// others. `bytes` are the manifest where it does not come from a file; `path` is for messages then.
///
/// # Errors
/// As [`manifest_plan`], and when the recipe cannot be read.
pub fn model_plan(
    path: &Path,
    bytes: Option<Vec<u8>>,
    names: ColumnNames<'_>,
    recipe: &str,
    progress: &dyn PrepareProgress,
) -> Result<Plan> {
    let mut problems = Problems::new();
    let manifest = match bytes {
        None => Manifest::read(path, None, names, &mut problems)?,
        Some(bytes) => Manifest::of_bytes(path, bytes, Path::new("."), names, &mut problems)?,
    };
    if !problems.is_empty() {
        check(&manifest, &mut problems, progress);
    }
    problems.into_result()?;
    plan_of(&manifest, &parse_recipe_text(recipe)?)
}

/// Decodes everything that a manifest names and keeps nothing; what is wrong with it is added to
/// `problems`, but for cells that are among them already.
pub fn check(manifest: &Manifest, problems: &mut Problems, progress: &dyn PrepareProgress) {
    let known: BTreeSet<(&Position, &str)> =
        problems.list().iter().map(|p| (&p.position, p.field.as_str())).collect();
    let mut unknown = Problems::new();
    let transform =
        |(c, column): (usize, &MediaColumn)| match default_transform(manifest, c, column) {
            Ok(transform) => Some(transform),
            Err(error) => {
                unknown.add(&manifest.path, Position::File, &column.name, error.problem());
                None
            }
        };
    let transforms: Vec<Option<Transform>> =
        manifest.columns.iter().enumerate().map(transform).collect();
    let program = OnceLock::new();
    progress.started(0, manifest.rows.len());
    let check_row = |row: &ManifestRow| {
        let mut found = Problems::new();
        let item = item(&manifest.columns, row);
        for ((column, transform), source) in
            manifest.columns.iter().zip(&transforms).zip(&item.sources)
        {
            if known.contains(&(&row.position, column.name.as_str())) {
                continue;
            }
            let made = transform.as_ref().map(|t| make(&manifest.root, t, source));
            match made {
                Some(Err(error @ Error::NoFfmpeg { .. })) => {
                    // It concerns all files of a kind: reported once, not for every row.
                    program.get_or_init(|| error.to_string());
                }
                Some(Err(error)) => {
                    found.add(&manifest.path, row.position.clone(), &column.name, error.problem());
                }
                _ => {}
            }
        }
        progress.clip();
        found
    };
    let found: Vec<Problems> = manifest.rows.par_iter().map(check_row).collect();
    progress.finished();
    problems.extend(unknown);
    found.into_iter().for_each(|list| problems.extend(list));
    if let Some(missing) = program.into_inner() {
        problems.add(&manifest.path, Position::File, "", missing);
    }
}

/// The plan of a manifest that has been read.
fn plan_of(manifest: &Manifest, transforms: &BTreeMap<String, Transform>) -> Result<Plan> {
    let mut modalities = Vec::new();
    for (c, column) in manifest.columns.iter().enumerate() {
        let transform = match transforms.get(&column.name) {
            Some(transform) => transform.clone(),
            None => default_transform(manifest, c, column)?,
        };
        let transform = located(transform)?;
        transform.check(&column.name)?;
        modalities.push((column.name.clone(), transform));
    }
    let name = manifest.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Plan {
        name,
        root: manifest.root.clone(),
        modalities,
        items: manifest.rows.iter().map(|row| item(&manifest.columns, row)).collect(),
        notes: manifest.notes.clone(),
        manifest: Some(manifest.path.clone()),
    })
}

/// A tokenizer's place from any folder, with the digest of its file.
fn located(transform: Transform) -> Result<Transform> {
    let Transform::Tokens { tokenizer, tokens, sha256 } = transform else { return Ok(transform) };
    let digest = crate::tokens::digest(&tokenizer)?;
    // Too few tokens are too few for all texts.
    crate::tokens::of_text(&tokenizer, None, "", tokens)?;
    let whole = Path::new(&tokenizer).canonicalize();
    let tokenizer = whole.map_or(tokenizer, |path| path.display().to_string());
    Ok(Transform::Tokens { tokenizer, tokens, sha256: sha256.or(Some(digest)) })
}

fn default_transform(manifest: &Manifest, c: usize, column: &MediaColumn) -> Result<Transform> {
    Ok(match column.kind {
        MediaKind::Audio => Transform::Spectrogram {
            rate: 22_050,
            via: None,
            start: 0.0,
            draw: 0.0,
            seconds: 3.0,
            n_fft: 512,
            hop: 353,
        },
        MediaKind::Video => Transform::Frames {
            rate: 1.0,
            frames: 3,
            pick: Pick::Evenly,
            stored: Some(256),
            side: 224,
            augment: Augment::Clip,
        },
        MediaKind::Image => Transform::Image { stored: Some(256), side: 224 },
        MediaKind::Text => Transform::Text { buckets: 1_024 },
        MediaKind::Features => {
            let first = manifest.rows.iter().find_map(|row| row.cells[c].as_ref());
            let width = match first {
                Some(cell) => read_vector(&manifest.file(cell))?.len(),
                None => 1,
            };
            Transform::Features { width }
        }
    })
}

fn item(columns: &[MediaColumn], row: &ManifestRow) -> Item {
    let source = |(column, cell): (&MediaColumn, &Option<String>)| match cell {
        None => Source::Absent,
        Some(cell) if is_file(column.kind, cell) => Source::File(cell.clone()),
        Some(words) => Source::Words(words.clone()),
    };
    Item {
        id: row.id.clone(),
        split: row.split,
        label: row.label.clone(),
        group: row.group.clone(),
        sources: columns.iter().zip(&row.cells).map(source).collect(),
        position: row.position.clone(),
    }
}
