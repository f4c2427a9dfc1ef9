//! Preparing: media in, shards out; in parallel, and resumed where it was interrupted.
//!
//! Clips are made shard by shard in the order of the plan, the clips of a shard in parallel. A shard
//! appears under its name only when it is whole, and carries what was made of its part of the plan; so
//! a killed run goes on with the first shard that is not there, and ends with the same bytes as an
//! undisturbed one. `dataset.json` comes last.

mod lists;
mod named;
mod own;
mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tcmax_data::own::PREPARED_FILE;
use tcmax_data::shards::{
    Clip, ClipRow, Description, MANIFEST_FILE, SKIPPED_FILE, ShardEntry, StoredModality, read_note,
    shard_name, skipped_csv, write_rows, write_shard,
};
use tcmax_data::{Problems, write_whole};

use crate::recipe::Transform;
use crate::{Error, Result, transform};

pub use lists::{ListFormat, Listed, parse_list};
pub use named::named_plan;
pub use own::{check, manifest_plan};
use plan::hexadecimal;
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
    /// Names and reasons of what was left out.
    pub skipped: Vec<(String, String)>,
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
        for (_, reason) in &self.skipped {
            // Numbers and details differ from file to file.
            let end = reason.find(|c: char| c == '(' || c.is_ascii_digit()).unwrap_or(reason.len());
            *counts.entry(reason[..end].trim().to_owned()).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}

/// What a shard says of its part of the plan.
#[derive(Serialize, Deserialize)]
struct ShardNote {
    plan: String,
    rows: Vec<ClipRow>,
    skipped: Vec<(String, String)>,
}

/// Makes the shards of `plan` in the folder `out`, going on with what is there.
///
/// # Errors
/// When `out` holds another plan's shards, a file cannot be written, nothing is left, or, for a
/// manifest, media cannot be decoded: all of them at once, and no `dataset.json` then.
pub fn prepare(
    plan: &Plan,
    out: &Path,
    options: &PrepareOptions,
    progress: &dyn PrepareProgress,
) -> Result<Summary> {
    if options.shard_size == 0 {
        return Err(Error::option("--shard-size", "must be at least 1"));
    }
    let needs_flow = plan.modalities.iter().any(|(_, t)| matches!(t, Transform::Flow { .. }));
    if needs_flow && !cfg!(feature = "opencv") {
        return Err(transform::flow_is_missing());
    }
    let file = |source| tcmax_data::Error::Io { path: out.to_owned(), source };
    std::fs::create_dir_all(out).map_err(file)?;
    remove_parts(out)?;
    let run = Run { plan, out, options, digest: plan.digest(options.shard_size), progress };
    let chunks: Vec<&[Item]> = plan.items.chunks(options.shard_size).collect();
    let done = run.done(&chunks)?;
    let there: usize = chunks[..done].iter().map(|chunk| chunk.len()).sum();
    progress.started(there, plan.items.len());
    let made = run.all(&chunks, done);
    progress.finished();
    run.finish(made?, done)
}

/// Files that a killed run was writing.
fn remove_parts(out: &Path) -> Result<()> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| tcmax_data::Error::Io { path, source }
    };
    for entry in std::fs::read_dir(out).map_err(file(out))? {
        let path = entry.map_err(file(out))?.path();
        if path.extension().is_some_and(|ending| ending == "part") {
            std::fs::remove_file(&path).map_err(file(&path))?;
        }
    }
    Ok(())
}

/// One modality of a clip, or why there is none.
fn make(
    root: &Path,
    transform: &Transform,
    source: &Source,
) -> std::result::Result<Option<tcmax_data::shards::ClipTensor>, String> {
    let tensor = match source {
        Source::Absent => return Ok(None),
        Source::Missing(reason) => return Err(reason.clone()),
        Source::Words(words) => transform::of_text(transform, words),
        Source::File(name) => transform::of_file(transform, &root.join(name)),
    };
    tensor.map(Some).map_err(|error| error.problem())
}

struct Run<'a> {
    plan: &'a Plan,
    out: &'a Path,
    options: &'a PrepareOptions,
    digest: String,
    progress: &'a dyn PrepareProgress,
}

/// What became of an item.
enum Outcome {
    Made(ClipRow, Clip),
    Skipped(String, String),
}

/// What became of all.
#[derive(Default)]
struct Made {
    rows: Vec<ClipRow>,
    skipped: Vec<(String, String)>,
    entries: Vec<ShardEntry>,
    problems: Problems,
}

impl Run<'_> {
    fn shard(&self, index: usize) -> PathBuf {
        self.out.join(shard_name(index))
    }

    fn note(&self, index: usize) -> Result<ShardNote> {
        let path = self.shard(index);
        let note: ShardNote = serde_json::from_str(&read_note(&path)?)
            .map_err(|e| Error::media(&path, format!("not a shard of this program ({e})")))?;
        if note.plan == self.digest {
            return Ok(note);
        }
        let problem = "it was made of another list, recipe or shard size; choose another --out, or \
                       delete this folder";
        Err(Error::media(&path, problem))
    }

    /// Shards that are there already; checks that they are of this plan.
    fn done(&self, chunks: &[&[Item]]) -> Result<usize> {
        let done = (0..chunks.len()).take_while(|&index| self.shard(index).exists()).count();
        for index in 0..done {
            self.note(index)?;
        }
        Ok(done)
    }

    fn all(&self, chunks: &[&[Item]], done: usize) -> Result<Made> {
        let mut made = Made::default();
        for (index, chunk) in chunks.iter().enumerate() {
            if index >= done {
                let problems = self.make_shard(index, chunk)?;
                let broken = !problems.is_empty();
                made.problems.extend(problems);
                if broken {
                    continue;
                }
            }
            let note = self.note(index)?;
            made.rows.extend(note.rows);
            made.skipped.extend(note.skipped);
            made.entries.push(entry(&self.shard(index))?);
        }
        Ok(made)
    }

    /// Makes one shard, unless something in it is wrong that must not be skipped.
    fn make_shard(&self, index: usize, chunk: &[Item]) -> Result<Problems> {
        let make = |item: &Item| {
            let outcome = self.outcome(index, item);
            self.progress.clip();
            outcome
        };
        let outcomes: Vec<std::result::Result<Outcome, Problems>> =
            chunk.par_iter().map(make).collect();
        let mut problems = Problems::new();
        let (mut clips, mut rows, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(Outcome::Made(row, clip)) => {
                    rows.push(row);
                    clips.push(clip);
                }
                Ok(Outcome::Skipped(id, reason)) => skipped.push((id, reason)),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if problems.is_empty() {
            let note = ShardNote { plan: self.digest.clone(), rows, skipped };
            let note = serde_json::to_string(&note)
                .map_err(|e| Error::media(&self.shard(index), e.to_string()))?;
            write_shard(&self.shard(index), clips, &note)?;
        }
        Ok(problems)
    }

    fn outcome(&self, shard: usize, item: &Item) -> std::result::Result<Outcome, Problems> {
        let (mut tensors, mut wrong, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, transform), source) in self.plan.modalities.iter().zip(&item.sources) {
            match make(&self.plan.root, transform, source) {
                Ok(Some(tensor)) => tensors.push((name.clone(), tensor)),
                Ok(None) => {}
                Err(reason) => wrong.push((name, reason)),
            }
            if let Source::File(file) = source
                && !sources.contains(file)
            {
                sources.push(file.clone());
            }
        }
        if let (Some(manifest), false, false) =
            (&self.plan.manifest, self.options.skip_broken, wrong.is_empty())
        {
            let mut problems = Problems::new();
            for (name, reason) in wrong {
                problems.add(manifest, item.place.clone(), name, reason);
            }
            return Err(problems);
        }
        let reason = wrong.iter().map(|(name, reason)| format!("{name}: {reason}"));
        let reason = reason.collect::<Vec<_>>().join("; ");
        let masked = self.options.keep_partial && !tensors.is_empty();
        if tensors.is_empty() || !(wrong.is_empty() || masked) {
            return Ok(Outcome::Skipped(item.id.clone(), reason));
        }
        let digests: Vec<String> = sources.iter().map(|name| self.digest_of(name)).collect();
        let row = ClipRow {
            id: item.id.clone(),
            split: item.part,
            label: item.label.clone(),
            group: item.group.clone(),
            shard,
            source: sources.join(";"),
            sha256: digests.join(";"),
        };
        Ok(Outcome::Made(row, Clip { id: item.id.clone(), tensors }))
    }

    fn digest_of(&self, name: &str) -> String {
        // It was read a moment ago; should it be gone, the manifest says so by an empty cell.
        sha256_of(&self.plan.root.join(name)).unwrap_or_default()
    }

    fn finish(&self, made: Made, done: usize) -> Result<Summary> {
        made.problems.into_result()?;
        if made.rows.is_empty() {
            let first = made.skipped.first().map_or("", |(_, reason)| reason.as_str());
            let problem = format!("no clip is left of {}; {first}", self.plan.items.len());
            return Err(Error::media(&self.plan.root, problem));
        }
        let manifest = write_rows(&made.rows);
        let modality = |(name, transform): &(String, Transform)| StoredModality {
            name: name.clone(),
            storage: transform.storage(),
        };
        let modalities = self.plan.modalities.iter().map(modality).collect();
        let mut description =
            Description::new(&self.plan.name, &self.plan.recipe_text(), modalities);
        description.manifest_sha256 = hexadecimal(&Sha256::digest(&manifest));
        description.notes = self.plan.notes.clone();
        let shards = made.entries.len();
        description.shards = made.entries;
        let text = serde_json::to_string_pretty(&description)
            .map_err(|e| Error::media(self.out, e.to_string()))?;
        write_whole(&self.out.join(MANIFEST_FILE), &manifest)?;
        write_whole(&self.out.join(SKIPPED_FILE), &skipped_csv(&made.skipped))?;
        write_whole(&self.out.join(PREPARED_FILE), text.as_bytes())?;
        Ok(Summary {
            clips: made.rows.len(),
            skipped: made.skipped,
            resumed_shards: done,
            shards,
            notes: self.plan.notes.clone(),
        })
    }
}

fn entry(path: &Path) -> Result<ShardEntry> {
    let file = |source| tcmax_data::Error::Io { path: path.to_owned(), source };
    Ok(ShardEntry {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: std::fs::metadata(path).map_err(file)?.len(),
        sha256: sha256_of(path).map_err(file)?,
    })
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}
