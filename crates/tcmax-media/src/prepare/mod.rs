//! Preparing: media in, shards out; in parallel, and resumed where it was interrupted.
//!
//! Clips are made shard by shard in the order of the plan, the clips of a shard in parallel. A shard
//! appears under its name only when it is whole, and carries what was made of its part of the plan, how
//! and of which files; so a killed run goes on with the shards that are not there, and ends with the
//! same bytes as an undisturbed one. A shard whose files have changed is made again; one of another
//! plan, other options or other decoders stops the run. `dataset.json` comes last.

mod folder;
mod lists;
mod named;
mod own;
mod plan;
mod run;
mod validation;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tcmax_data::shards::{PartCount, SkippedClip};

use crate::{Error, Result, transform};

pub use lists::{ListFormat, Listed, parse_list};
pub use named::{NamedOptions, named_plan, recipe_of};
pub use own::{check, manifest_plan};
pub use plan::{Item, Plan, Source};

/// How to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Clips a shard, at least 1. Memory holds one shard.
    pub shard_size: usize,
    /// Keep clips that lack a modality, masked, instead of leaving them out.
    pub keep_partial: bool,
    /// Leave out what cannot be decoded even where a manifest names it.
    pub skip_broken: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self { shard_size: 64, keep_partial: false, skip_broken: false }
    }
}

/// Who is told how far preparing is.
pub trait PrepareProgress: Sync {
    /// Preparing starts; `done` of `total` clips are there already.
    fn started(&self, done: usize, total: usize);
    /// A clip was made or left out.
    fn clip(&self);
    /// Preparing has ended.
    fn finished(&self);
}

/// Tells nobody.
pub struct NoProgress;

impl PrepareProgress for NoProgress {
    fn started(&self, _: usize, _: usize) {}
    fn clip(&self) {}
    fn finished(&self) {}
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Clips in the shards.
    pub clips: usize,
    /// What was left out or kept in part.
    pub skipped: Vec<SkippedClip>,
    /// How many clips of each part were listed and left out.
    pub parts: Vec<PartCount>,
    /// Shards that an earlier run had made.
    pub resumed_shards: usize,
    /// Shards in all.
    pub shards: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Summary {
    /// Reasons with their numbers, the most frequent first.
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for SkippedClip { reason, .. } in &self.skipped {
            // Numbers and details differ from file to file.
            let end = reason.find(|c: char| c == '(' || c.is_ascii_digit()).unwrap_or(reason.len());
            *counts.entry(reason[..end].trim().to_owned()).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

/// Makes the shards of `plan` in the folder `out`, going on with what is there.
///
/// # Errors
/// When `out` holds something else or another plan's shards, a file cannot be written, a program is
/// missing, nothing is left, or, for a manifest, media cannot be decoded: all of them at once, and no
/// `dataset.json` then.
pub fn prepare(
    plan: &Plan,
    out: &Path,
    options: &PrepareOptions,
    progress: &dyn PrepareProgress,
) -> Result<Summary> {
    if options.shard_size == 0 {
        return Err(Error::option("--shard-size", "must be at least 1"));
    }
    let needs_flow = plan.modalities.iter().any(|(_, t)| t.needs_opencv());
    if needs_flow && !cfg!(feature = "opencv") {
        return Err(transform::flow_is_missing());
    }
    folder::take_over(out)?;
    run::Run::new(plan, out, options, progress).all()
}
