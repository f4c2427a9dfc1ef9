//! The clips of a folder of shards as a data set.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use safetensors::tensor::{Dtype, TensorInfo};
use tcmax_ops::Seed;
use tcmax_registry::Task;

use super::clip_manifest::{ClipRow, MANIFEST_FILE, read_rows};
use super::description::{Augment, Description, Storage, StoredModality};
use super::header::header_and_length;
use super::read_at::read_exact_at;
use super::view::{View, normalisation};
use super::writer::tensor_name;
use crate::dataset::{Dataset, Modality};
use crate::error::{Error, Result};
use crate::labels::class_list;
use crate::problems::{Position, Problems};
use crate::resize::Area;
use crate::split::Split;
use crate::words::Words;

/// Prepared clips, read from their shards when they are asked for.
#[derive(Clone)]
pub struct Prepared {
    inner: Arc<Inner>,
    augment: bool,
}

struct Inner {
    description: Description,
    notes: Vec<String>,
    modalities: Vec<Modality>,
    classes: Vec<String>,
    labels: Vec<u32>,
    groups: Vec<String>,
    ids: Vec<String>,
    /// What identifies each clip.
    identities: Vec<u64>,
    splits: Option<Vec<Split>>,
    /// Opened for every read: a large data set has more shards than a process may have open files.
    shards: Vec<PathBuf>,
    /// Clip by clip, one entry per modality.
    stored: Vec<Option<Stored>>,
    clip_shards: Vec<u32>,
    tables: Vec<Vec<[f32; 256]>>,
}

/// Where a tensor's bytes are in its shard.
#[derive(Clone, Copy)]
struct Stored {
    start: u64,
    /// Height and width of pixels; unused for values.
    size: [u32; 2],
    /// Whether values have 16 bits.
    half: bool,
}

impl Prepared {
    /// Opens a folder that `tcmax prepare` has finished. Of shards only headers are read. Clips that
    /// were made without labels have no classes.
    ///
    /// # Errors
    /// When the manifest is not the one that was written; every shard that is missing, has another
    /// length than described, or lacks what it should hold.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_for(folder, Task::Classes)
    }

    /// As [`Prepared::open`], of clips that are to be used for a task: only those of classes have classes here.
    ///
    /// # Errors
    /// As [`Prepared::open`].
    pub fn open_for(folder: &Path, task: Task) -> Result<Self> {
        let description = Description::read(folder)?;
        let rows = read_rows(&folder.join(MANIFEST_FILE), &description.manifest_sha256)?;
        let mut problems = Problems::new();
        let index = Index::read(folder, &description, &rows, &mut problems)?;
        problems.into_result()?;
        let manifest = folder.join(MANIFEST_FILE);
        let (classes, labels) = match task {
            Task::Classes => classes_of(&manifest, &rows)?,
            Task::Labels | Task::Regression => (Vec::new(), vec![0; rows.len()]),
        };
        let splits = given_splits(&manifest, &rows)?;
        let inner = Inner {
            modalities: description.modalities.iter().map(StoredModality::modality).collect(),
            tables: description.modalities.iter().map(|m| tables(&m.storage)).collect(),
            clip_shards: rows.iter().map(|row| row.shard as u32).collect(),
            identities: rows.iter().map(ClipRow::identity).collect(),
            groups: rows.iter().map(|row| row.group.clone()).collect(),
            ids: rows.into_iter().map(|row| row.id).collect(),
            shards: index.shards,
            stored: index.stored,
            notes: description.all_notes(),
            description,
            classes,
            labels,
            splits,
        };
        Ok(Self { inner: Arc::new(inner), augment: false })
    }

    /// The same clips, cropped and flipped at random by the seed of each read.
    #[must_use]
    pub fn augmenting(&self) -> Self {
        Self { inner: self.inner.clone(), augment: true }
    }

    /// The class of every clip.
    pub fn labels(&self) -> &[u32] {
        &self.inner.labels
    }

    /// The group of every clip.
    pub fn groups(&self) -> &[String] {
        &self.inner.groups
    }

    /// The split of every clip, where all have one.
    pub fn splits(&self) -> Option<&[Split]> {
        self.inner.splits.as_deref()
    }

    /// What the description says a reader should know, with the clips that were left out.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// What the folder is.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }
}

/// The classes and the class of every clip; no classes when no clip has a label.
fn classes_of(manifest: &Path, rows: &[ClipRow]) -> Result<(Vec<String>, Vec<u32>)> {
    if rows.iter().all(|row| row.label.is_empty()) {
        return Ok((Vec::new(), vec![0; rows.len()]));
    }
    let cells = Words::of(rows.iter().map(|row| row.label.as_str()));
    class_list(&cells).map_err(|problem| Error::bad_file(manifest, problem))
}

/// The split of every clip; none when no clip has one. A split of only some clips is refused.
fn given_splits(manifest: &Path, rows: &[ClipRow]) -> Result<Option<Vec<Split>>> {
    if rows.iter().all(|row| row.split.is_none()) {
        return Ok(None);
    }
    let mut problems = Problems::new();
    for (row, clip) in rows.iter().enumerate().filter(|(_, clip)| clip.split.is_none()) {
        let what =
            format!("'{}' has no split, but others have; write train, validation or test", clip.id);
        problems.add(manifest, Position::Row(row), "split", what);
    }
    problems.into_result()?;
    Ok(rows.iter().map(|row| row.split).collect())
}

struct Index {
    shards: Vec<PathBuf>,
    stored: Vec<Option<Stored>>,
}

impl Index {
    fn read(
        folder: &Path,
        description: &Description,
        rows: &[ClipRow],
        problems: &mut Problems,
    ) -> Result<Self> {
        let modalities = &description.modalities;
        let mut index =
            Self { shards: Vec::new(), stored: vec![None; rows.len() * modalities.len()] };
        let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); description.shards.len()];
        for (row, clip) in rows.iter().enumerate() {
            match by_shard.get_mut(clip.shard) {
                Some(rows) => rows.push(row),
                None => {
                    let what = format!("there is no shard {}", clip.shard);
                    problems.add(&folder.join(MANIFEST_FILE), Position::Row(row), "shard", what);
                }
            }
        }
        for (entry, members) in description.shards.iter().zip(&by_shard) {
            let path = folder.join(&entry.file);
            let length = std::fs::metadata(&path).map_or(0, |data| data.len());
            if length != entry.bytes {
                let what = format!("{length} bytes instead of {}; prepare it again", entry.bytes);
                problems.add(&path, Position::File, "", what);
                continue;
            }
            let (header, start) = header_and_length(&path)?;
            if start + header.data_len() as u64 != length {
                problems.add(&path, Position::File, "", "its header does not fit its length");
                continue;
            }
            for &row in members {
                for (m, modality) in modalities.iter().enumerate() {
                    let name = tensor_name(&rows[row].id, &modality.name);
                    let Some(info) = header.info(&name) else { continue };
                    match stored(info, start, &modality.storage) {
                        Some(found) => index.stored[row * modalities.len() + m] = Some(found),
                        None => {
                            let what = format!("has {:?} of shape {:?}", info.dtype, info.shape);
                            problems.add(&path, Position::File, name, what);
                        }
                    }
                }
            }
            index.shards.push(path);
        }
        Ok(index)
    }
}

/// Where a tensor is, if it is what the storage says.
fn stored(info: &TensorInfo, start: u64, storage: &Storage) -> Option<Stored> {
    let start = start + info.data_offsets.0 as u64;
    let (count, depth) = match storage {
        Storage::Values { shape, .. } => {
            let half = info.dtype == Dtype::F16;
            let fits = (half || info.dtype == Dtype::F32) && info.shape == *shape;
            return fits.then_some(Stored { start, size: [0; 2], half });
        }
        Storage::Pixels { frames, channels, .. } => (*frames, *channels),
        Storage::Flow { fields, .. } => (*fields, 2),
    };
    match info.shape[..] {
        [t, height, width, c] if (t, c) == (count, depth) && height * width > 0 => {
            let size = [u32::try_from(height).ok()?, u32::try_from(width).ok()?];
            (info.dtype == Dtype::U8).then_some(Stored { start, size, half: false })
        }
        _ => None,
    }
}

/// The value of each byte of each channel.
fn tables(storage: &Storage) -> Vec<[f32; 256]> {
    let table = |value: &dyn Fn(f32) -> f32| std::array::from_fn(|byte| value(byte as f32));
    match storage {
        Storage::Values { .. } => Vec::new(),
        Storage::Pixels { mean, deviation, .. } => normalisation(mean, deviation),
        // Displacements in units of the bound; the second table is for mirrored ones.
        Storage::Flow { .. } => {
            vec![table(&|byte| (byte - 128.0) / 127.0), table(&|byte| (128.0 - byte) / 127.0)]
        }
    }
}

thread_local! {
    /// The bytes of the tensor last read, kept between reads.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Dataset for Prepared {
    fn modalities(&self) -> &[Modality] {
        &self.inner.modalities
    }

    fn classes(&self) -> &[String] {
        &self.inner.classes
    }

    fn len(&self) -> usize {
        self.inner.labels.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.inner.labels[index]
    }

    fn id(&self, index: usize) -> String {
        self.inner.ids[index].clone()
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.inner.stored[index * self.inner.modalities.len() + modality].is_some()
    }

    fn augments(&self, modality: usize) -> bool {
        let pixels = |storage: &Storage| match storage {
            Storage::Pixels { augment, .. } => *augment != Augment::None,
            Storage::Flow { .. } => true,
            Storage::Values { .. } => false,
        };
        self.augment && pixels(&self.inner.description.modalities[modality].storage)
    }

    fn read(&self, index: usize, modality: usize, seed: Seed, out: &mut [f32]) -> Result<()> {
        let inner = &self.inner;
        let Some(stored) = inner.stored[index * inner.modalities.len() + modality] else {
            out.fill(0.0);
            return Ok(());
        };
        let path = &inner.shards[inner.clip_shards[index] as usize];
        let file = File::open(path).map_err(Error::io(path))?;
        BYTES.with_borrow_mut(|bytes| {
            let mut fill = |length: usize| -> Result<()> {
                bytes.resize(length, 0);
                read_exact_at(&file, bytes, stored.start).map_err(Error::io(path))
            };
            let [height, width] = stored.size.map(|size| size as usize);
            let storage = &inner.description.modalities[modality].storage;
            let (frames, channels, side, augment) = match storage {
                Storage::Values { .. } if stored.half => {
                    fill(out.len() * 2)?;
                    for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                        *value = f16::from_le_bytes([raw[0], raw[1]]).to_f32();
                    }
                    return Ok(());
                }
                Storage::Values { .. } => {
                    fill(out.len() * 4)?;
                    for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                        *value = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
                    }
                    return Ok(());
                }
                Storage::Pixels { frames, channels, side, augment, .. } => {
                    (*frames, *channels, *side, *augment)
                }
                Storage::Flow { fields, side, .. } => (*fields, 2, *side, Augment::Clip),
            };
            fill(frames * height * width * channels)?;
            let view = |frame: usize| match augment {
                Augment::Clip if self.augment => View::random(height, width, seed),
                Augment::Frame if self.augment => {
                    View::random(height, width, seed.index(modality as u64).index(frame as u64))
                }
                _ => View::whole(height, width),
            };
            let is_flow = matches!(storage, Storage::Flow { .. });
            for (t, frame) in bytes.chunks_exact(height * width * channels).enumerate() {
                let view = view(t);
                let whole = Area::whole([height, width]);
                let small = view
                    .resized(frame, [height, width, channels], whole, side)
                    .ok_or_else(|| Error::bad_file(path, "a frame cannot be resized"))?;
                // Flow: channels 2 t and 2 t + 1 of an image; frames: planes (c, t) of a clip.
                let tables = &inner.tables[modality];
                let flipped = usize::from(view.is_flipped());
                let (first, step, tables): (_, _, Vec<&[f32; 256]>) = match is_flow {
                    true => (2 * t, 1, vec![&tables[flipped], &tables[0]]),
                    false => (t, frames, tables.iter().collect()),
                };
                let planes = out.chunks_exact_mut((side * side).max(1)).skip(first).step_by(step);
                view.spread(&small, &tables, side, planes.take(channels).collect());
            }
            Ok(())
        })
    }

    fn identity(&self, index: usize) -> Result<u64> {
        Ok(self.inner.identities[index])
    }

    fn storage_digest(&self) -> String {
        self.inner.description.storage_digest()
    }

    fn recipe(&self) -> Option<String> {
        Some(self.inner.description.recipe.clone())
    }
}
