//! One run of a preparation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tcmax_data::shards::{
    Clip, ClipRow, ClipTensor, Description, MANIFEST_FILE, PREPARED_FILE, SKIPPED_FILE, ShardEntry,
    SkippedClip, SplitCount, StoredModality, read_note, shard_index, shard_name, skipped_csv,
    write_rows, write_shard,
};
use tcmax_data::{Error as DataError, Problems, Split, sha256_of, sha256_of_file, write_whole};

use super::options::PrepareOptions;
use super::plan::{Item, Making, Plan, Source};
use super::progress::PrepareProgress;
use super::summary::Summary;
use crate::apply;
use crate::error::{Error, Result};
use crate::transform::Transform;

/// What the header of a shard says of how it was made.
#[derive(Serialize, Deserialize)]
struct ShardNote {
    /// Digest of the plan.
    plan: String,
    /// How it was made.
    making: Making,
    /// Digest of the names and sizes of its files.
    files: String,
    rows: Vec<ClipRow>,
    skipped: Vec<SkippedClip>,
}

pub(super) struct Run<'a> {
    plan: &'a Plan,
    out: &'a Path,
    digest: String,
    making: Making,
    progress: &'a dyn PrepareProgress,
    chunks: Vec<&'a [Item]>,
}

/// What became of an item.
enum Outcome {
    Made(ClipRow, Clip, Option<SkippedClip>),
    Skipped(SkippedClip),
}

/// Why there is no outcome.
enum Stop {
    /// Something is wrong with the item that must not be skipped.
    Problems(Problems),
    /// Nothing can be decoded at all.
    Everything(Error),
}

/// One modality of a clip.
///
/// # Errors
/// Why there is none.
pub(super) fn make(
    root: &Path,
    transform: &Transform,
    source: &Source,
) -> Result<Option<ClipTensor>> {
    match source {
        Source::Absent => Ok(None),
        Source::Missing(reason) => Err(Error::media(root, reason)),
        Source::Words(words) => apply::of_text(transform, words).map(Some),
        Source::File(name) => apply::of_file(transform, &root.join(name)).map(Some),
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        out: &'a Path,
        options: &PrepareOptions,
        progress: &'a dyn PrepareProgress,
    ) -> Self {
        Self {
            plan,
            out,
            digest: plan.digest(),
            making: Making::of(plan, options),
            progress,
            chunks: plan.items.chunks(options.shard_size).collect(),
        }
    }

    /// Makes what is not there, and the description.
    pub(super) fn all(&self) -> Result<Summary> {
        let there = self.there()?;
        let done = there.iter().filter(|&&there| there).count();
        let clips = self.chunks.iter().zip(&there).filter(|(_, there)| **there);
        self.progress.started(clips.map(|(chunk, _)| chunk.len()).sum(), self.plan.items.len());
        let made = self.make_shards(&there);
        self.progress.finished();
        made?.into_result()?;
        self.finish(done)
    }

    fn shard(&self, index: usize) -> PathBuf {
        self.out.join(shard_name(index))
    }

    fn note(&self, index: usize) -> Result<ShardNote> {
        let path = self.shard(index);
        serde_json::from_str(&read_note(&path)?)
            .map_err(|e| Error::media(&path, format!("not a shard of this program ({e})")))
    }

    /// Which shards are there already, made of the same files.
    ///
    /// # Errors
    /// When one is of another plan, or made otherwise.
    fn there(&self) -> Result<Vec<bool>> {
        let mut there = vec![false; self.chunks.len()];
        let Ok(entries) = std::fs::read_dir(self.out) else { return Ok(there) };
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.ok().map(|e| e.file_name());
        let names = entries.filter_map(name);
        let mut found: Vec<usize> =
            names.filter_map(|name| shard_index(&name.to_string_lossy())).collect();
        found.sort_unstable();
        for index in found {
            let note = self.note(index)?;
            let mut differences = self.making.differences(&note.making);
            if differences.is_empty() && (note.plan != self.digest || index >= there.len()) {
                differences.push("other lists or another recipe".to_owned());
            }
            if !differences.is_empty() {
                let problem = format!(
                    "it was made with {}; choose another `out`, or delete this folder",
                    differences.join(", ")
                );
                return Err(Error::media(&self.shard(index), problem));
            }
            there[index] = note.files == self.plan.files_digest(self.chunks[index]);
        }
        Ok(there)
    }

    fn make_shards(&self, there: &[bool]) -> Result<Problems> {
        std::fs::create_dir_all(self.out).map_err(DataError::io(self.out))?;
        if there.contains(&false) && self.out.join(PREPARED_FILE).exists() {
            // The folder is not complete until the last shard is.
            let path = self.out.join(PREPARED_FILE);
            std::fs::remove_file(&path).map_err(DataError::io(&path))?;
        }
        let mut problems = Problems::new();
        for (index, chunk) in self.chunks.iter().enumerate().filter(|(index, _)| !there[*index]) {
            problems.extend(self.make_shard(index, chunk)?);
        }
        Ok(problems)
    }

    /// Makes one shard, unless something in it is wrong that must not be skipped.
    fn make_shard(&self, index: usize, chunk: &[Item]) -> Result<Problems> {
        let files = self.plan.files_digest(chunk);
        let make = |item: &Item| {
            let outcome = self.outcome(index, item);
            self.progress.clip();
            outcome
        };
        let outcomes: Vec<std::result::Result<Outcome, Stop>> =
            chunk.par_iter().map(make).collect();
        let mut problems = Problems::new();
        let (mut clips, mut rows, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(Outcome::Made(row, clip, partial)) => {
                    rows.push(row);
                    clips.push(clip);
                    skipped.extend(partial);
                }
                Ok(Outcome::Skipped(clip)) => skipped.push(clip),
                Err(Stop::Problems(wrong)) => problems.extend(wrong),
                Err(Stop::Everything(error)) => return Err(error),
            }
        }
        if problems.is_empty() {
            let (plan, making) = (self.digest.clone(), self.making.clone());
            let note = ShardNote { plan, making, files, rows, skipped };
            let note = serde_json::to_string(&note)
                .map_err(|e| Error::media(&self.shard(index), e.to_string()))?;
            write_shard(&self.shard(index), clips, &note)?;
        }
        Ok(problems)
    }

    fn outcome(&self, shard: usize, item: &Item) -> std::result::Result<Outcome, Stop> {
        let (mut tensors, mut wrong, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, transform), source) in self.plan.modalities.iter().zip(&item.sources) {
            match make(&self.plan.root, transform, source) {
                Ok(Some(tensor)) => tensors.push((name.clone(), tensor)),
                Ok(None) => {}
                // No file can be decoded then: reported once, not for every file.
                Err(error @ Error::NoFfmpeg { .. }) => return Err(Stop::Everything(error)),
                Err(error) => wrong.push((name, error.problem())),
            }
            if let Source::File(file) = source
                && !sources.contains(file)
            {
                sources.push(file.clone());
            }
        }
        if let (Some(manifest), false, false) =
            (&self.plan.manifest, self.making.skip_broken, wrong.is_empty())
        {
            let mut problems = Problems::new();
            for (name, reason) in wrong {
                problems.add(manifest, item.position.clone(), name, reason);
            }
            return Err(Stop::Problems(problems));
        }
        let kept = self.making.keep_partial && !tensors.is_empty();
        let reason = wrong.iter().map(|(name, reason)| format!("{name}: {reason}"));
        let reason = reason.collect::<Vec<_>>().join("; ");
        let (id, split) = (item.id.clone(), item.split);
        let skipped = SkippedClip { id: id.clone(), split, kept, reason };
        if tensors.is_empty() || !(wrong.is_empty() || kept) {
            return Ok(Outcome::Skipped(skipped));
        }
        let row = ClipRow {
            id: id.clone(),
            split,
            label: item.label.clone(),
            group: item.group.clone(),
            shard,
            sha256: self.digests_of(&sources)?,
            source: sources.join(";"),
        };
        let partial = (!wrong.is_empty()).then_some(skipped);
        Ok(Outcome::Made(row, Clip { id, tensors }, partial))
    }

    fn digests_of(&self, names: &[String]) -> std::result::Result<String, Stop> {
        let digest = |name| sha256_of_file(&self.plan.root.join(name));
        let digests: tcmax_data::Result<Vec<String>> = names.iter().map(digest).collect();
        // They were read a moment ago: this does not concern one clip only.
        Ok(digests.map_err(|error| Stop::Everything(error.into()))?.join(";"))
    }

    /// Writes the manifest and the description of the shards, which are all there.
    fn finish(&self, done: usize) -> Result<Summary> {
        let (mut rows, mut skipped, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..self.chunks.len() {
            let note = self.note(index)?;
            rows.extend(note.rows);
            skipped.extend(note.skipped);
            entries.push(entry(&self.shard(index))?);
        }
        if rows.is_empty() {
            let first = skipped.first().map_or("", |clip: &SkippedClip| clip.reason.as_str());
            let problem = format!("no clip is left of {}; {first}", self.plan.items.len());
            return Err(Error::media(&self.plan.root, problem));
        }
        let manifest = write_rows(&rows);
        let modality = |(name, transform): &(String, Transform)| StoredModality {
            name: name.clone(),
            storage: transform.storage(),
        };
        let modalities = self.plan.modalities.iter().map(modality).collect();
        let recipe = self.plan.recipe_text();
        let mut description = Description::new(&self.plan.name, &recipe, modalities);
        description.manifest_sha256 = sha256_of(&manifest);
        description.splits = self.counts(&skipped);
        description.decoders = self.making.decoders.clone();
        description.notes = self.plan.notes.clone();
        description.notes.extend(self.lost_classes(&rows));
        description.shards = entries;
        let text = serde_json::to_string_pretty(&description)
            .map_err(|e| Error::media(self.out, e.to_string()))?;
        write_whole(&self.out.join(MANIFEST_FILE), &manifest)?;
        write_whole(&self.out.join(SKIPPED_FILE), &skipped_csv(&skipped))?;
        write_whole(&self.out.join(PREPARED_FILE), text.as_bytes())?;
        Ok(Summary {
            clips: rows.len(),
            skipped,
            resumed_shards: done,
            shards: self.chunks.len(),
            notes: description.all_notes(),
            splits: description.splits,
        })
    }

    /// What became of the clips of each split.
    fn counts(&self, skipped: &[SkippedClip]) -> Vec<SplitCount> {
        let mut counts: BTreeMap<Option<Split>, [usize; 3]> = BTreeMap::new();
        for item in &self.plan.items {
            counts.entry(item.split).or_default()[0] += 1;
        }
        for clip in skipped {
            counts.entry(clip.split).or_default()[1 + usize::from(clip.kept)] += 1;
        }
        let count = |(split, counts): (Option<Split>, [usize; 3])| {
            let [listed, left_out, partial] = counts;
            SplitCount { split, listed, left_out, partial }
        };
        counts.into_iter().map(count).collect()
    }

    /// Classes of which no clip is left, in words.
    fn lost_classes(&self, rows: &[ClipRow]) -> Option<String> {
        let kept: std::collections::BTreeSet<&str> =
            rows.iter().map(|r| r.label.as_str()).collect();
        let listed = self.plan.items.iter().map(|item| item.label.as_str());
        let lost: std::collections::BTreeSet<&str> =
            listed.filter(|label| !kept.contains(label)).collect();
        let names = lost.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let more = if lost.len() > 3 { ", ..." } else { "" };
        let count = lost.len();
        let plural = if count == 1 { "class" } else { "classes" };
        (count > 0).then(|| {
            format!(
                "{count} {plural} of the lists ({names}{more}) have no clip left: \
                 the data have fewer classes than published"
            )
        })
    }
}

fn entry(path: &Path) -> Result<ShardEntry> {
    Ok(ShardEntry {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: std::fs::metadata(path).map_err(DataError::io(path))?.len(),
        sha256: sha256_of_file(path)?,
    })
}
