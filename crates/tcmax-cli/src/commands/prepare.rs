//! `tcmax prepare`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_data::ColumnNames;
use tcmax_data::user_data::Layout;
use tcmax_datasets::{card, catalog, recipe_of};
use tcmax_media::prepare::Plan;
use tcmax_media::{
    ListOptions, PrepareOptions, Summary, Transform, list_plan, manifest_plan,
    parse_column_recipes, prepare,
};
use tcmax_train::Error;

use super::print;
use super::train::set_threads;
use crate::progress::PrepareBar;

/// Options of `tcmax prepare`.
#[derive(Args)]
pub struct Prepare {
    /// Data set (see `tcmax datasets`), or a manifest: a .csv, .tsv or .parquet table with one row per
    /// example, columns of media files, and a label
    name: String,
    /// Folder with the media; for a manifest the folder its paths start from [default: its own]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the clips go: a folder that is new, empty, or of an interrupted run of the same
    /// [default: prepared/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Data set: folder with the split lists [default: the root, or its folder splits]
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// Data set: modalities to prepare, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    modalities: Vec<String>,
    /// Data set: name of one of its recipes (see `tcmax datasets NAME`); manifest: TOML file that
    /// says what to make of columns, a table each
    #[arg(long, value_name = "NAME or FILE")]
    recipe: Option<String>,
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
        let plan = match card(&self.name) {
            Some(_) => self.named()?,
            None => self.of_manifest()?,
        };
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

    fn named(&self) -> anyhow::Result<Plan> {
        let name = &self.name;
        let recipe = recipe_of(name).map_err(Error::from)?;
        refuse(
            &[
                ("--label", self.label.is_some()),
                ("--group", self.group.is_some()),
                ("--skip-broken", self.skip_broken),
            ],
            &format!("is for manifests; '{name}' has lists of its own"),
        )?;
        let root = self.root.as_deref().ok_or_else(|| {
            Error::setting("--root", format!("give the folder with the media of '{name}'"))
        })?;
        let options = ListOptions {
            lists: self.lists.clone(),
            modalities: self.modalities.clone(),
            recipe: self.recipe.clone(),
        };
        Ok(list_plan(name, recipe.clone(), root, &options).map_err(Error::from)?)
    }

    fn of_manifest(&self) -> anyhow::Result<Plan> {
        let path = Path::new(&self.name);
        if !path.exists() {
            let prepared = catalog().iter().filter(|card| card.prepare.is_some());
            let known: Vec<&str> = prepared.map(|card| card.name.as_str()).collect();
            let problem = format!(
                "there is no file and no data set of this name; give a manifest, or one of: {}",
                known.join(", ")
            );
            return Err(Error::setting(self.name.as_str(), problem).into());
        }
        let layout = Layout::of(path).map_err(|error| not_a_manifest(path, &error.to_string()))?;
        let Layout::Manifest(manifest) = layout else {
            return Err(not_a_manifest(path, &format!("this is {}", layout.describe())).into());
        };
        refuse(
            &[("--lists", self.lists.is_some()), ("--modalities", !self.modalities.is_empty())],
            "is for data sets that have a card; of a manifest every column of media is prepared",
        )?;
        let names = ColumnNames {
            label: self.label.as_deref(),
            group: self.group.as_deref(),
            ..ColumnNames::default()
        };
        let recipe = self.recipe.as_deref().map(|file| read_recipe(Path::new(file)));
        let recipe = recipe.transpose()?.unwrap_or_default();
        let plan =
            manifest_plan(&manifest, self.root.as_deref(), names, &recipe, &PrepareBar::new());
        Ok(plan.map_err(Error::from)?)
    }
}

fn not_a_manifest(path: &Path, reason: &str) -> Error {
    let reason = reason.trim_start_matches(&format!("{}: ", path.display())).to_owned();
    let problem = format!(
        "{reason}; to prepare give a manifest (a .csv, .tsv or .parquet table of media files), or the \
         name of a data set, with its folder as --root"
    );
    Error::setting(path.display().to_string(), problem)
}

/// Refuses the first option that was given.
fn refuse(options: &[(&str, bool)], reason: &str) -> Result<(), Error> {
    match options.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(Error::setting(*name, reason)),
        None => Ok(()),
    }
}

fn read_recipe(path: &Path) -> anyhow::Result<BTreeMap<String, Transform>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let recipe = parse_column_recipes(&text);
    Ok(recipe.map_err(|e| Error::setting(format!("--recipe {}", path.display()), e.to_string()))?)
}

fn describe(summary: &Summary, out: &Path) -> String {
    let Summary { clips, skipped, resumed_shards, shards, notes, .. } = summary;
    let mut text = format!("{clips} clips in {shards} shards");
    if *resumed_shards > 0 {
        text += &format!(" ({resumed_shards} shards were there)");
    }
    if !skipped.is_empty() {
        let left_out = skipped.iter().filter(|clip| !clip.kept).count();
        text += &format!("\n{left_out} left out, {} kept in part:", skipped.len() - left_out);
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
