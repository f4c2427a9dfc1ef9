//! `tcmax prepare`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_data::own::manifest::ColumnNames;
use tcmax_media::{PrepareOptions, Summary, Transform, manifest_plan, named_plan, prepare};
use tcmax_train::{Error, PrepareBar};

use super::print;
use super::train::set_threads;

/// Options of `tcmax prepare`.
#[derive(Args)]
pub struct Prepare {
    /// Data set (see `tcmax datasets`), or a manifest: a .csv, .tsv or .parquet table with a row an
    /// example, columns of media files, and a label
    name: String,
    /// Folder with the media; for a manifest the folder its paths start from [default: its own]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the clips go [default: prepared/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder with the split lists [default: the root, or its folder splits]
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// Modalities of the data set to prepare, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    modalities: Vec<String>,
    /// Manifest: TOML file that says what to make of columns, a table each
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Manifest: column with the labels [default: label and its like]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Manifest: column with groups [default: group and its like]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Keep clips that lack a modality, masked, instead of leaving them out
    #[arg(long)]
    keep_partial: bool,
    /// Manifest: leave out what cannot be decoded instead of refusing
    #[arg(long)]
    skip_broken: bool,
    /// Clips in a shard; memory holds one shard
    #[arg(long, default_value_t = PrepareOptions::default().shard_size)]
    shard_size: usize,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Prepare {
    /// Makes the clips, or goes on with them, and sums up.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let manifest = Path::new(&self.name);
        let plan = if manifest.is_file() {
            let names = ColumnNames { label: self.label.as_deref(), group: self.group.as_deref() };
            let recipe = self.recipe.as_deref().map(read_recipe).transpose()?.unwrap_or_default();
            manifest_plan(manifest, self.root.as_deref(), names, &recipe, &PrepareBar::new())
        } else {
            let root = self.root.as_deref().ok_or_else(|| {
                Error::setting("--root", "give the folder with the data set's media")
            })?;
            named_plan(&self.name, root, self.lists.as_deref(), &self.modalities)
        };
        let plan = plan.map_err(Error::from)?;
        let out = self.out.clone().unwrap_or_else(|| Path::new("prepared").join(&plan.name));
        let options = PrepareOptions {
            shard_size: self.shard_size,
            keep_partial: self.keep_partial,
            skip_broken: self.skip_broken,
        };
        let summary = prepare(&plan, &out, &options, &PrepareBar::new()).map_err(Error::from)?;
        if self.json {
            print(&serde_json::to_string_pretty(&summary)?)?;
        } else {
            print(&describe(&summary, &out))?;
        }
        Ok(())
    }
}

fn read_recipe(path: &Path) -> anyhow::Result<BTreeMap<String, Transform>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(toml::from_str(&text)
        .map_err(|e| Error::setting(format!("--recipe {}", path.display()), e.to_string()))?)
}

fn describe(summary: &Summary, out: &Path) -> String {
    let Summary { clips, skipped, resumed_shards, shards, notes } = summary;
    let mut text = format!("{clips} clips in {shards} shards");
    if *resumed_shards > 0 {
        text += &format!(" ({resumed_shards} shards were there)");
    }
    if !skipped.is_empty() {
        text += &format!("\n{} left out:", skipped.len());
        for (reason, count) in summary.reasons() {
            text += &format!("\n  {count:>6} {reason}");
        }
        text += &format!("\neach with its reason in {}", out.join("skipped.csv").display());
    }
    for note in notes {
        text += &format!("\nnote: {note}");
    }
    text + &format!("\n\ntcmax train --dataset {}", out.display())
}
