//! Manifests: a table with a row an example, columns of media files, texts or feature files, and a
//! label.
//!
//! `label`, `split`, `id` and `group` (or what the user names) are what they say; every other column
//! is a modality. A second column that is called like labels is refused, one like groups is left out
//! with a note. What a modality is follows from the endings of its files: `.wav`, `.mp3`, ... sound (a video
//! file too, when the column's name has "audio" or "sound" in it), `.mp4`, `.avi`, ... frames, `.jpg`,
//! `.png` an image, `.npy` a feature vector; other words are text. An empty cell is a missing modality.
//! Files stand below the manifest's folder (or `--root`); paths that lead out of it are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::labels::wrong_label;
use super::media_file;
use super::partition::{Part, ambiguous_numbers, wrong_part};
use super::table_text::{TextTable, read_table};
use crate::words::suggestion;
use crate::{Place, Problems, Result};

/// What a column of a manifest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Sound, from an audio or video file.
    Audio,
    /// Frames of a video file.
    Video,
    /// One picture.
    Image,
    /// Words, in the cell or in a `.txt` file.
    Text,
    /// A feature vector in an `.npy` file.
    Features,
}

const AUDIO: [&str; 9] = ["wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "aiff", "wma"];
const VIDEO: [&str; 9] = ["mp4", "avi", "flv", "mkv", "webm", "mov", "m4v", "mpg", "mpeg"];
const IMAGE: [&str; 3] = ["jpg", "jpeg", "png"];

/// A modality column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: MediaKind,
}

/// One example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its line in a CSV file, or its row (from 0) in Parquet.
    pub place: Place,
    /// Its name.
    pub id: String,
    /// Its class.
    pub label: String,
    /// Its part, if the manifest has a split.
    pub part: Option<Part>,
    /// Its group; its id where the manifest has no groups.
    pub group: String,
    /// A cell a modality column; `None` where the modality is missing.
    pub cells: Vec<Option<String>>,
}

/// A manifest that has been read and checked as far as that goes without decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file.
    pub path: PathBuf,
    /// The folder its paths start from.
    pub root: PathBuf,
    /// Modality columns.
    pub columns: Vec<MediaColumn>,
    /// Examples, in the order of the file.
    pub rows: Vec<ManifestRow>,
    /// Whether a column says the groups.
    pub has_groups: bool,
    /// What a reader should know, such as a column that is not used.
    pub notes: Vec<String>,
}

/// Names of the columns that are no modalities, where the user gave any.
#[derive(Clone, Copy, Debug, Default)]
pub struct ColumnNames<'a> {
    /// The label's.
    pub label: Option<&'a str>,
    /// The groups'.
    pub group: Option<&'a str>,
}

impl Manifest {
    /// Reads a manifest; everything wrong with it goes to `problems`. `root` is the folder its paths
    /// start from, by default its own.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub fn read(
        path: &Path,
        root: Option<&Path>,
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let root = root.or(folder).unwrap_or(Path::new(".")).to_owned();
        let table = read_table(path, problems)?;
        let manifest = Self::of_table(path, root, table, names, problems);
        manifest.check_files(problems);
        Ok(manifest)
    }

    /// A manifest from the bytes of a CSV file, without a look at the files it names; everything wrong
    /// with it goes to `problems`, under the name of `path`.
    pub fn parse(
        path: &Path,
        bytes: &[u8],
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Self {
        let ending = super::layout::ending(path).unwrap_or_default();
        let delimiter = crate::csv_records::delimiter(&ending, bytes);
        let table = super::table_text::parse_csv(path, bytes, delimiter, problems);
        Self::of_table(path, PathBuf::from("."), table, names, problems)
    }

    /// A manifest from the bytes of a Parquet file, without a look at the files it names; everything
    /// wrong with it goes to `problems`, under the name of `path`.
    ///
    /// # Errors
    /// When the bytes are not a whole Parquet file, or unpack to far more than their number.
    pub fn parse_parquet(
        path: &Path,
        bytes: Vec<u8>,
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Result<Self> {
        let table = super::table_parquet::parse(path, bytes, problems)?;
        Ok(Self::of_table(path, PathBuf::from("."), table, names, problems))
    }

    fn of_table(
        path: &Path,
        root: PathBuf,
        mut table: TextTable,
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Self {
        let roles = Roles::find(path, &table, names, problems);
        let columns: Vec<MediaColumn> =
            roles.media.iter().map(|&c| column(path, &table, c, problems)).collect();
        if columns.is_empty() {
            problems.add(path, Place::File, "", "there is no column of media beside the label");
        }
        let rows: Vec<ManifestRow> =
            (0..table.rows.len()).map(|row| roles.row(path, &mut table, row, problems)).collect();
        let has_groups = roles.group.is_some();
        let notes = roles.notes;
        let manifest = Self { path: path.to_owned(), root, columns, rows, has_groups, notes };
        manifest.check_ids(problems);
        manifest.check_parts(problems);
        manifest
    }

    /// The file that a cell names.
    pub fn file(&self, cell: &str) -> PathBuf {
        self.root.join(cell)
    }

    fn check_ids(&self, problems: &mut Problems) {
        let mut first: BTreeMap<&str, &Place> = BTreeMap::new();
        for row in &self.rows {
            if let Some(place) = first.get(row.id.as_str()) {
                let there = match place {
                    Place::Line(line) => format!("line {line}"),
                    Place::Row(row) => format!("row {row}"),
                    Place::File => "above".to_owned(),
                };
                let what = format!("'{}' is there already ({there}); ids must differ", row.id);
                problems.add(&self.path, row.place.clone(), "id", what);
            } else {
                first.insert(&row.id, &row.place);
            }
        }
    }

    /// A split is for every row or none: with some rows without, the published test rows among the
    /// others could not be kept apart.
    fn check_parts(&self, problems: &mut Problems) {
        if self.rows.iter().all(|row| row.part.is_none()) {
            return;
        }
        for row in self.rows.iter().filter(|row| row.part.is_none()) {
            problems.add(&self.path, row.place.clone(), "split", wrong_part(""));
        }
    }

    /// Paths that lead out, files that are missing, empty or pointers.
    fn check_files(&self, problems: &mut Problems) {
        // Some rows at a time: messages of all would take more memory than the manifest.
        for rows in self.rows.chunks(1 << 12) {
            let found: Vec<Problems> = rows.par_iter().map(|row| self.check_row(row)).collect();
            found.into_iter().for_each(|list| problems.extend(list));
        }
    }

    fn check_row(&self, row: &ManifestRow) -> Problems {
        let mut problems = Problems::new();
        for (column, cell) in self.columns.iter().zip(&row.cells) {
            let Some(cell) = cell.as_ref().filter(|cell| is_file(column.kind, cell)) else {
                continue;
            };
            let wrong = if leads_out(cell) {
                let what = "the path leads out of the manifest's folder; use paths below it, or give \
                            the folder above with --root";
                Some(what.to_owned())
            } else {
                let path = self.file(cell);
                let checked = media_file::check(&path, "check the cell, or give --root");
                checked.err().map(|error| error.to_string())
            };
            if let Some(what) = wrong {
                problems.add(
                    &self.path,
                    row.place.clone(),
                    &column.name,
                    format!("'{cell}': {what}"),
                );
            }
        }
        problems
    }
}

/// Whether a relative path could name something outside its folder.
pub fn leads_out(path: &str) -> bool {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    path.contains('\\') || !Path::new(path).components().all(inside)
}

/// Whether a cell of a column names a file.
pub fn is_file(kind: MediaKind, cell: &str) -> bool {
    kind != MediaKind::Text || cell.to_lowercase().ends_with(".txt")
}

/// The kind of a column from its name and cells.
fn column(path: &Path, table: &TextTable, column: usize, problems: &mut Problems) -> MediaColumn {
    let name = table.names[column].clone();
    let mut kind = None;
    for (row, place) in table.rows.iter().zip(&table.places) {
        let Some(cell) = row[column].as_ref() else { continue };
        let of_cell = kind_of(&name, cell);
        match kind {
            None => kind = Some(of_cell),
            Some(kind) if kind != of_cell => {
                let what = format!("'{cell}' is {of_cell:?}, but the column began as {kind:?}");
                problems.add(path, place.clone(), &name, what);
            }
            Some(_) => {}
        }
    }
    MediaColumn { name, kind: kind.unwrap_or(MediaKind::Text) }
}

fn kind_of(name: &str, cell: &str) -> MediaKind {
    let lower = name.to_lowercase();
    let ending = super::layout::ending(Path::new(cell)).unwrap_or_default();
    let of_sound = ["audio", "sound", "speech", "voice"].iter().any(|word| lower.contains(word));
    match ending.as_str() {
        ending if AUDIO.contains(&ending) => MediaKind::Audio,
        ending if VIDEO.contains(&ending) && of_sound => MediaKind::Audio,
        ending if VIDEO.contains(&ending) => MediaKind::Video,
        ending if IMAGE.contains(&ending) => MediaKind::Image,
        "npy" => MediaKind::Features,
        _ => MediaKind::Text,
    }
}

/// Names of label and group columns, the first of them preferred.
const LABELS: [&str; 6] = ["label", "labels", "class", "classes", "target", "targets"];
const GROUPS: [&str; 4] = ["group", "groups", "speaker", "subject"];

/// Which column is what.
struct Roles {
    label: Option<usize>,
    split: Option<usize>,
    group: Option<usize>,
    id: Option<usize>,
    media: Vec<usize>,
    notes: Vec<String>,
}

impl Roles {
    fn find(
        path: &Path,
        table: &TextTable,
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Self {
        let is = |c: usize, known: &str| table.names[c].eq_ignore_ascii_case(known);
        let known = |known: &[&str]| {
            known.iter().find_map(|known| (0..table.names.len()).find(|&c| is(c, known)))
        };
        let mut given = |option: &str, name: Option<&str>, others: &[&str]| {
            let Some(name) = name else { return known(others) };
            let found = table.names.iter().position(|column| column == name);
            if found.is_none() {
                let what = format!("{option} names it, but there is no such column")
                    + &suggestion(name, table.names.iter().map(String::as_str));
                problems.add(path, Place::File, name, what);
            }
            found
        };
        let label = given("--label", names.label, &LABELS);
        let group = given("--group", names.group, &GROUPS);
        let (split, id) = (known(&["split"]), known(&["id", "ids"]));
        if label.is_none() && names.label.is_none() {
            let what = format!(
                "no such column; call it 'label', or name it with --label (there are: {})",
                table.names.join(", ")
            );
            problems.add(path, Place::File, "label", what);
        }
        if let Some(split) = split {
            let cells = table.rows.iter().filter_map(|row| row[split].as_deref());
            if let Some(what) = ambiguous_numbers(cells) {
                problems.add(path, Place::File, &table.names[split], what);
            }
        }
        let mut notes = Vec::new();
        let mut media = Vec::new();
        for c in (0..table.names.len()).filter(|&c| ![label, split, group, id].contains(&Some(c))) {
            let name = &table.names[c];
            if LABELS.iter().any(|known| is(c, known)) {
                let what = "looks like labels too; remove it, name the labels with --label, or rename \
                            it if it is a modality";
                problems.add(path, Place::File, name, what);
            } else if group.is_some() && GROUPS.iter().any(|known| is(c, known)) {
                notes.push(format!("column '{name}' looks like groups and is left out"));
            } else {
                media.push(c);
            }
        }
        let roles = Self { label, split, group, id, media, notes };
        roles.check_names_of_examples(path, table, problems);
        roles
    }

    /// A column called `name` or `clip` is a modality where it holds files or text; where it looks like
    /// names of the examples, nobody but its owner knows.
    fn check_names_of_examples(&self, path: &Path, table: &TextTable, problems: &mut Problems) {
        if self.id.is_some() {
            return;
        }
        for &c in &self.media {
            let name = &table.names[c];
            if !["name", "clip"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
                continue;
            }
            let mut seen = BTreeSet::new();
            let is_name = |row: &'_ Vec<Option<String>>| {
                row[c].as_ref().is_some_and(|cell| {
                    kind_of(name, cell) == MediaKind::Text
                        && !cell.to_lowercase().ends_with(".txt")
                        && !cell.contains(char::is_whitespace)
                })
            };
            if table.rows.iter().all(|row| is_name(row) && seen.insert(row[c].as_deref())) {
                let what = "does it name the examples, or is it text to learn from? Call it 'id' or, \
                            for example, 'words'";
                problems.add(path, Place::File, name, what);
            }
        }
    }

    fn row(
        &self,
        path: &Path,
        table: &mut TextTable,
        row: usize,
        problems: &mut Problems,
    ) -> ManifestRow {
        let place = table.places[row].clone();
        let label = self.label.map(|column| {
            let label = table.rows[row][column].take().unwrap_or_default();
            if let Some(what) = wrong_label(&label) {
                problems.add(path, place.clone(), &table.names[column], what);
            }
            label
        });
        let cells = &mut table.rows[row];
        let part = self.split.and_then(|column| cells[column].take()).and_then(|word| {
            let part = Part::parse(&word);
            if part.is_none() {
                problems.add(path, place.clone(), "split", wrong_part(&word));
            }
            part
        });
        let id = self.id.and_then(|column| cells[column].take());
        let id = id.unwrap_or_else(|| format!("{row:06}"));
        let group = self.group.and_then(|column| cells[column].take());
        if let (None, Some(_)) = (&group, self.group) {
            let what = "the group is empty; give its group, or a name of its own";
            problems.add(path, place.clone(), &table.names[self.group.unwrap_or(0)], what);
        }
        let media: Vec<Option<String>> =
            self.media.iter().map(|&column| cells[column].take()).collect();
        if media.iter().all(Option::is_none) {
            problems.add(path, place.clone(), "", "every modality is missing");
        }
        let group = group.unwrap_or_else(|| id.clone());
        ManifestRow { place, id, label: label.unwrap_or_default(), part, group, cells: media }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_seen() {
        for path in ["../x.wav", "/etc/passwd", "a/../../x", "a\\..\\x", "a/../b.wav"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["x.wav", "./a/b.wav", "a/..b/c.wav"] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn kinds_follow_endings_and_names() {
        assert_eq!(kind_of("sound", "a.mp4"), MediaKind::Audio);
        assert_eq!(kind_of("clip", "a.MP4"), MediaKind::Video);
        assert_eq!(kind_of("x", "b/a.jpeg"), MediaKind::Image);
        assert_eq!(kind_of("x", "a fine day."), MediaKind::Text);
        assert_eq!(kind_of("x", "a.npy"), MediaKind::Features);
    }
}
