//! Preparation of media, as the command `tcmax prepare` does it.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::IntoPyObject;
use pyo3::prelude::*;
use tcmax_data::ColumnNames;
use tcmax_data::user_data::Layout;
use tcmax_datasets::{card, recipe_of};
use tcmax_media::{
    ListOptions, PrepareOptions, Summary, list_plan, manifest_plan, parse_column_recipes,
};

use crate::errors::wrong;
use crate::interrupt::{Clips, Counted, interruptible_with};

/// What was made.
#[derive(IntoPyObject)]
pub(crate) struct PreparedFound {
    folder: PathBuf,
    clips: usize,
    shards: usize,
    resumed_shards: usize,
    left_out: usize,
    /// Reasons for which clips were left out or kept in part, with their numbers.
    reasons: Vec<(String, usize)>,
    notes: Vec<String>,
}

/// Decodes media into clips; `source` is a manifest or the name of a published data set.
#[pyfunction]
#[pyo3(signature = (source, out, *, root=None, lists=None, modalities=Vec::new(), recipe=None, label=None, group=None,
                    keep_partial=false, skip_broken=false, shard_size=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords to Python")]
pub(crate) fn prepare(
    py: Python<'_>,
    source: PathBuf,
    out: Option<PathBuf>,
    root: Option<PathBuf>,
    lists: Option<PathBuf>,
    modalities: Vec<String>,
    recipe: Option<String>,
    label: Option<String>,
    group: Option<String>,
    keep_partial: bool,
    skip_broken: bool,
    shard_size: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<PreparedFound> {
    let shard_size = shard_size.unwrap_or(PrepareOptions::default().shard_size);
    let options = PrepareOptions { shard_size, keep_partial, skip_broken };
    let clips = Arc::new(Clips::default());
    let mut told = None;
    let mut tell = |py: Python<'_>, clips: &Clips| -> PyResult<()> {
        let counts = clips.counts();
        let Some(progress) = progress.as_ref().filter(|_| told != Some(counts) && counts.1 > 0)
        else {
            return Ok(());
        };
        told = Some(counts);
        progress.call1(py, counts).map(drop)
    };
    let of_thread = Arc::clone(&clips);
    let found = interruptible_with(
        py,
        |py| tell(py, &clips),
        move |stop| {
            let watched = Counted(stop, &of_thread);
            let name = source.to_str().filter(|name| card(name).is_some());
            let plan = match name {
                Some(name) => {
                    let of_manifests = [("label", label.is_some()), ("group", group.is_some())];
                    refuse(
                        &of_manifests,
                        &format!("is for manifests; '{name}' has lists of its own"),
                    )?;
                    let Some(root) = root else {
                        return Err(wrong(format!(
                            "root: give the folder with the media of '{name}'"
                        )));
                    };
                    let of_card = recipe_of(name).map_err(wrong)?.clone();
                    let options = ListOptions { lists, modalities, recipe };
                    list_plan(name, of_card, &root, &options).map_err(wrong)?
                }
                None => {
                    let of_cards =
                        [("lists", lists.is_some()), ("modalities", !modalities.is_empty())];
                    refuse(
                        &of_cards,
                        "is for published data sets; of a manifest every column of media is prepared",
                    )?;
                    let layout = Layout::of(&source).map_err(wrong)?;
                    let Layout::Manifest(manifest) = layout else {
                        return Err(wrong(format!(
                            "{}: this is {}; to prepare give a manifest (a .csv, .tsv or .parquet table of media \
                         files), or the name of a data set, with its folder as root",
                            source.display(),
                            layout.describe()
                        )));
                    };
                    let names = ColumnNames {
                        label: label.as_deref(),
                        group: group.as_deref(),
                        ..ColumnNames::default()
                    };
                    let transforms = parse_column_recipes(recipe.as_deref().unwrap_or(""));
                    let transforms =
                        transforms.map_err(|error| wrong(format!("recipe: {error}")))?;
                    manifest_plan(&manifest, root.as_deref(), names, &transforms, &watched)
                        .map_err(wrong)?
                }
            };
            let folder = out.unwrap_or_else(|| PathBuf::from("prepared").join(&plan.name));
            let summary =
                tcmax_media::prepare(&plan, &folder, &options, &watched).map_err(wrong)?;
            Ok(found(folder, summary))
        },
    )?;
    tell(py, &clips)?;
    Ok(found)
}

fn found(folder: PathBuf, summary: Summary) -> PreparedFound {
    let left_out = summary.skipped.iter().filter(|clip| !clip.kept).count();
    let reasons = summary.reasons();
    let Summary { clips, shards, resumed_shards, notes, .. } = summary;
    PreparedFound { folder, clips, shards, resumed_shards, left_out, reasons, notes }
}

/// Refuses the first option that was given.
fn refuse(options: &[(&str, bool)], reason: &str) -> PyResult<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(wrong(format!("{name}: {reason}"))),
        None => Ok(()),
    }
}
