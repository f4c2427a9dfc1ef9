//! The rows of a manifest, and what is checked before anything is decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tcmax_registry::Task;

use super::kinds::{MediaColumn, MediaKind, column, is_file, kind_of, leads_out};
use super::table::TextTable;
use super::{csv, parquet};
use crate::error::Result;
use crate::file::{self, ending};
use crate::labels::{ColumnNames, GROUPS, LABELS};
use crate::problems::{Position, Problems};
use crate::split::{Split, ambiguous_numbers, wrong_split};
use crate::targets::wrong_target;
use crate::words::suggestion;

/// Names of columns that name the examples.
const IDS: [&str; 2] = ["id", "ids"];

/// One example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its line in a CSV file, or its row (from 0) in Parquet.
    pub position: Position,
    /// Its name.
    pub id: String,
    /// Its class; empty in a manifest without labels.
    pub label: String,
    /// Its split, if the manifest says.
    pub split: Option<Split>,
    /// Its group; its id where the manifest has no groups.
    pub group: String,
    /// One cell per modality column; `None` where the modality is missing.
    pub cells: Vec<Option<String>>,
}

/// A manifest that has been read, and checked as far as possible without decoding.
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
    /// Whether a column holds the groups.
    pub has_groups: bool,
    /// What a reader should know, such as a column that is not used.
    pub notes: Vec<String>,
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
        let bytes = file::read(path, "")?;
        Self::of_bytes(path, bytes, &root, names, problems)
    }

    /// As [`Manifest::read`] of bytes that came from elsewhere, a pipe for example: a Parquet file, or
    /// CSV. `path` is for messages.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn of_bytes(
        path: &Path,
        bytes: Vec<u8>,
        root: &Path,
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Result<Self> {
        let table = read_table(path, bytes, problems)?;
        let manifest = Self::of_table(path, root.to_owned(), table, names, problems);
        manifest.check_files(problems);
        Ok(manifest)
    }

    /// Whether a column holds labels: one of that name, and a word in it.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn has_labels(path: &Path, label: Option<&str>) -> Result<bool> {
        let table = read_table(path, file::read(path, "")?, &mut Problems::new())?;
        let is_label = |name: &String| match label {
            Some(label) => name == label,
            None => LABELS.iter().any(|known| name.eq_ignore_ascii_case(known)),
        };
        let mut columns = (0..table.names.len()).filter(|&c| is_label(&table.names[c]));
        Ok(columns.any(|c| table.rows.iter().any(|row| row[c].is_some())))
    }

    /// A manifest from the bytes of a CSV file, without checking the files it names; everything wrong
    /// with it goes to `problems`, under the name of `path`.
    pub fn parse(
        path: &Path,
        bytes: &[u8],
        names: ColumnNames<'_>,
        problems: &mut Problems,
    ) -> Self {
        let table = csv::parse(path, bytes, problems);
        Self::of_table(path, PathBuf::from("."), table, names, problems)
    }

    /// A manifest from the bytes of a Parquet file, without checking the files it names; everything
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
        let table = parquet::parse(path, bytes, problems)?;
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
            let what = match names.only {
                None => "there is no column of media beside the label".to_owned(),
                Some(only) => {
                    let (wanted, there) = (only.join(", "), table.names.join(", "));
                    format!("none of the modalities {wanted} is a column (there are: {there})")
                }
            };
            problems.add(path, Position::File, "", what);
        }
        let rows: Vec<ManifestRow> =
            (0..table.rows.len()).map(|row| roles.row(path, &mut table, row, problems)).collect();
        let has_groups = roles.group.is_some();
        let notes = roles.notes;
        let manifest = Self { path: path.to_owned(), root, columns, rows, has_groups, notes };
        manifest.check_ids(problems);
        manifest.check_splits(problems);
        manifest
    }

    /// The file that a cell names.
    pub fn file(&self, cell: &str) -> PathBuf {
        self.root.join(cell)
    }

    fn check_ids(&self, problems: &mut Problems) {
        let mut first: BTreeMap<&str, &Position> = BTreeMap::new();
        for row in &self.rows {
            if let Some(position) = first.get(row.id.as_str()) {
                let there = match position {
                    Position::Line(line) => format!("line {line}"),
                    Position::Row(row) => format!("row {row}"),
                    Position::File => "above".to_owned(),
                };
                let what = format!("'{}' is there already ({there}); ids must differ", row.id);
                problems.add(&self.path, row.position.clone(), "id", what);
            } else {
                first.insert(&row.id, &row.position);
            }
        }
    }

    /// A split is for every row or none: with some rows without, the published test rows among the
    /// others could not be kept apart.
    fn check_splits(&self, problems: &mut Problems) {
        if self.rows.iter().all(|row| row.split.is_none()) {
            return;
        }
        for row in self.rows.iter().filter(|row| row.split.is_none()) {
            problems.add(&self.path, row.position.clone(), "split", wrong_split(""));
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
                let what = "the path leads out of the manifest's folder; use paths below it, or name \
                            the folder above in the option `root`";
                Some(what.to_owned())
            } else {
                let path = self.file(cell);
                let checked = file::check(&path, "check the cell and the option `root`");
                checked.err().map(|error| error.to_string())
            };
            if let Some(what) = wrong {
                problems.add(
                    &self.path,
                    row.position.clone(),
                    &column.name,
                    format!("'{cell}': {what}"),
                );
            }
        }
        problems
    }
}

/// Reads a table by its ending; Parquet without one by its first bytes.
fn read_table(path: &Path, bytes: Vec<u8>, problems: &mut Problems) -> Result<TextTable> {
    let table = match ending(path).as_str() {
        "parquet" => parquet::parse(path, bytes, problems)?,
        "" if bytes.starts_with(b"PAR1") => parquet::parse(path, bytes, problems)?,
        _ => csv::parse(path, &bytes, problems),
    };
    if table.rows.is_empty() && problems.is_empty() {
        problems.add(path, Position::File, "", "there is no row in it");
    }
    Ok(table)
}

/// Which column is what.
struct Roles {
    task: Task,
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
                let what = format!("the option `{option}` names it, but there is no such column")
                    + &suggestion(name, table.names.iter().map(String::as_str));
                problems.add(path, Position::File, name, what);
            }
            found
        };
        if let Some(only) = names.only {
            let is_wanted = |c: &usize| only.contains(&table.names[*c]);
            let (media, id) = ((0..table.names.len()).filter(is_wanted).collect(), known(&IDS));
            let (label, split, group, notes) = (None, None, None, Vec::new());
            let task = Task::Classes;
            let id = id.filter(|id| !is_wanted(id));
            return Self { task, label, split, group, id, media, notes };
        }
        let label = given("label", names.label, &LABELS);
        let group = given("group", names.group, &GROUPS);
        let (split, id) = (known(&["split"]), known(&IDS));
        if label.is_none() && names.label.is_none() {
            let what = format!(
                "no such column; call it 'label', or name it in the option `label` (there are: {})",
                table.names.join(", ")
            );
            problems.add(path, Position::File, "label", what);
        }
        if let Some(split) = split {
            let cells = table.rows.iter().filter_map(|row| row[split].as_deref());
            if let Some(what) = ambiguous_numbers(cells) {
                problems.add(path, Position::File, &table.names[split], what);
            }
        }
        let mut notes = Vec::new();
        let mut media = Vec::new();
        for c in (0..table.names.len()).filter(|&c| ![label, split, group, id].contains(&Some(c))) {
            let name = &table.names[c];
            if LABELS.iter().any(|known| is(c, known)) {
                let what = "looks like labels too; remove it, name the labels in the option `label`, or \
                            rename it if it is a modality";
                problems.add(path, Position::File, name, what);
            } else if group.is_some() && GROUPS.iter().any(|known| is(c, known)) {
                notes.push(format!("column '{name}' looks like groups and is left out"));
            } else {
                media.push(c);
            }
        }
        let task = names.task.unwrap_or_default();
        let roles = Self { task, label, split, group, id, media, notes };
        roles.check_names_of_examples(path, table, problems);
        roles
    }

    /// A column called `name` or `clip` is a modality where it holds files or text; where it looks like
    /// names of the examples, only the user knows.
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
                problems.add(path, Position::File, name, what);
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
        let position = table.positions[row].clone();
        let label = self.label.map(|column| {
            let label = table.rows[row][column].take().unwrap_or_default();
            if let Some(what) = wrong_target(self.task, &label) {
                problems.add(path, position.clone(), &table.names[column], what);
            }
            label
        });
        let cells = &mut table.rows[row];
        let split = self.split.and_then(|column| cells[column].take()).and_then(|word| {
            let split = Split::parse(&word);
            if split.is_none() {
                problems.add(path, position.clone(), "split", wrong_split(&word));
            }
            split
        });
        let id = self.id.and_then(|column| cells[column].take());
        let id = id.unwrap_or_else(|| format!("{row:06}"));
        let group = self.group.and_then(|column| cells[column].take());
        if let (None, Some(_)) = (&group, self.group) {
            let what = "the group is empty; give its group, or a name of its own";
            problems.add(path, position.clone(), &table.names[self.group.unwrap_or(0)], what);
        }
        let media: Vec<Option<String>> =
            self.media.iter().map(|&column| cells[column].take()).collect();
        // Without any column of media, that is what is wrong.
        if !media.is_empty() && media.iter().all(Option::is_none) {
            problems.add(path, position.clone(), "", "every modality is missing");
        }
        let group = group.unwrap_or_else(|| id.clone());
        ManifestRow { position, id, label: label.unwrap_or_default(), split, group, cells: media }
    }
}
