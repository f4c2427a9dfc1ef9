//! Feature tables: one CSV per modality, numbers with the label in the last column, no header. Where the task says
//! so, the last column holds several labels with semicolons between them, or a number to predict.
//!
//! A folder holds `NAME.csv` for each modality, row n of every file being example n; or the same in
//! `train/`, `test/` and perhaps `val/`. A row whose numbers are all empty says that the modality is
//! missing there. A first line may be a header all the same
//! ([`TableKind::Features`]). Commas, semicolons or tabs separate the cells, as the first line shows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::collected::{Collected, CollectedModality, Given};
use tcmax_registry::Task;

use crate::arrays::Values;
use crate::csv_records::{Record, Records, TableKind};
use crate::error::{Error, Result};
use crate::file::{self, ending};
use crate::labels::ColumnNames;
use crate::problems::{Position, Problems};
use crate::split::Split;
use crate::targets::wrong_target;
use crate::words::{Words, WordsBuilder};

/// How many lines after a header are read to tell a feature table from a manifest.
const LOOKED_AT: usize = 100;

/// Whether a CSV file is a feature table: whether all but the last cell of its first line of data
/// are numbers or empty, with one number at least. A first line of words is a header when many lines
/// of numbers follow.
pub(super) fn is_feature_table(path: &Path) -> Result<bool> {
    let bytes = file::read(path, "")?;
    let mut records = Records::open(path, &bytes);
    let Some(Ok(first)) = records.next() else { return Ok(false) };
    if is_row(&first) {
        return Ok(true);
    }
    let width = first.width();
    let header = first.is_header(TableKind::Features) == Some(true);
    let mut rows = 0;
    while let Some(Ok(record)) = records.next() {
        if rows == LOOKED_AT {
            break;
        }
        if record.width() != width || !(is_row(&record) || features(&record).all(<[u8]>::is_empty))
        {
            return Ok(false);
        }
        rows += 1;
    }
    Ok(header && rows >= 2)
}

/// Whether the first row of a table has exactly `width` cells: so many numbers and no label.
pub(super) fn is_without_label(path: &Path, width: usize) -> Result<bool> {
    let bytes = file::read(path, "")?;
    let mut records = Records::open(path, &bytes);
    Ok(matches!(records.next(), Some(Ok(first)) if first.width() == width))
}

/// Whether all but the last cell are numbers or empty, with one number at least. Numbers with a decimal
/// comma count, and are refused by name later.
fn is_row(record: &Record<'_>) -> bool {
    let is_number = |cell: &[u8]| number(cell).is_some() || is_decimal_comma(cell);
    let numbers = features(record).filter(|cell| is_number(cell)).count();
    let empty = features(record).filter(|cell| cell.is_empty()).count();
    numbers > 0 && numbers + empty == record.width() - 1
}

fn features<'r>(record: &'r Record<'_>) -> impl Iterator<Item = &'r [u8]> {
    record.cells().take(record.width().saturating_sub(1))
}

/// Reads tables without labels: `modalities` are their names and numbers per row, and other files are
/// left out.
pub(super) fn read_to_predict(
    path: &Path,
    modalities: &[(&str, usize)],
    problems: &mut Problems,
) -> Result<Option<Collected>> {
    let mut tables = Vec::new();
    for (file, width) in files_of(path, modalities)? {
        let label = Label::None { width };
        tables.push(parse(&file, &file::read(&file, "")?, label, problems));
    }
    if tables.is_empty() {
        let names: Vec<String> = modalities.iter().map(|(name, _)| format!("{name}.csv")).collect();
        let what = format!("there is none of the model's tables ({})", names.join(", "));
        problems.add(path, Position::File, "", what);
    }
    let collected = collect(vec![(None, tables)], problems);
    Ok(collected.map(|collected| Collected { labels: None, ..collected }))
}

/// The tables of some modalities in a folder, or the one that `path` is, with their numbers per row.
pub(super) fn files_of(path: &Path, modalities: &[(&str, usize)]) -> Result<Vec<(PathBuf, usize)>> {
    let all = if path.is_file() { vec![path.to_owned()] } else { files(path)? };
    let width = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        modalities.iter().find(|(modality, _)| *modality == name).map(|(_, width)| *width)
    };
    Ok(all.into_iter().filter_map(|file| width(&file).map(|width| (file, width))).collect())
}

/// Reads a folder of tables, or one.
pub(super) fn read(
    path: &Path,
    names: ColumnNames<'_>,
    problems: &mut Problems,
) -> Result<Option<Collected>> {
    for (option, name) in [("label", names.label), ("group", names.group)] {
        if let Some(name) = name {
            let what = format!(
                "feature tables have no named columns, and their last one holds the labels; leave \
                 the option `{option}` out, or use a feature file"
            );
            problems.add(path, Position::File, name, what);
        }
    }
    let task = names.task.unwrap_or_default();
    if path.is_file() {
        return Ok(collect(vec![(None, tables(&[path.to_owned()], task, problems)?)], problems));
    }
    let mut splits = Vec::new();
    for (split, names) in [
        (Split::Train, &["train"][..]),
        (Split::Validation, &["val", "valid", "validation"]),
        (Split::Test, &["test"]),
    ] {
        if let Some(folder) = names.iter().map(|name| path.join(name)).find(|f| f.is_dir()) {
            splits.push((Some(split), tables(&files(&folder)?, task, problems)?));
        }
    }
    if splits.is_empty() {
        splits.push((None, tables(&files(path)?, task, problems)?));
    }
    Ok(collect(splits, problems))
}

/// One table: rows of one width, with their labels.
struct Table {
    path: PathBuf,
    name: String,
    width: usize,
    values: Vec<f32>,
    present: Vec<bool>,
    labels: Words,
    /// The line of each row.
    lines: Vec<u32>,
}

/// The `.csv` files of a folder by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if ending(&path) == "csv" {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn tables(files: &[PathBuf], task: Task, problems: &mut Problems) -> Result<Vec<Table>> {
    let label = Label::Last(task);
    let read = |path: &PathBuf| Ok(parse(path, &file::read(path, "")?, label, problems));
    files.iter().map(read).collect()
}

/// Rows and width of the feature table in a CSV file's bytes; everything wrong with it goes to
/// `problems`, under the name of `path`.
pub fn parse_feature_table(path: &Path, bytes: &[u8], problems: &mut Problems) -> (usize, usize) {
    let table = parse(path, bytes, Label::Last(Task::Classes), problems);
    (table.labels.len(), table.width)
}

/// Where the label of a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// In the last cell, of a task.
    Last(Task),
    /// Nowhere: rows are so many numbers.
    None { width: usize },
}

fn parse(path: &Path, bytes: &[u8], label: Label, problems: &mut Problems) -> Table {
    let mut rows = 0;
    let mut numbers = 0;
    let mut records = Records::open(path, bytes);
    while let Some(Ok(record)) = records.next() {
        rows += 1;
        numbers += label.numbers(&record);
    }
    let mut builder = Builder::new(path, label, rows, numbers);
    let mut records = Records::open(path, bytes);
    let mut first = true;
    while let Some(record) = records.next() {
        match record {
            Err((line, error)) => problems.add(path, Position::Line(line), "", error),
            Ok(record) if std::mem::take(&mut first) && is_header(path, &record, problems) => {}
            Ok(record) => builder.push(&record, problems),
        }
    }
    let table = builder.finish();
    if table.labels.len() == 0 {
        problems.add(path, Position::File, "", "there are no rows of values in it");
    }
    table
}

/// Whether the first line names the columns. One that counts 0, 1, 2, ... is a problem.
fn is_header(path: &Path, record: &Record<'_>, problems: &mut Problems) -> bool {
    record.is_header(TableKind::Features).unwrap_or_else(|| {
        let what = "the line counts 0, 1, 2, ...: a header that pandas wrote? Remove it (header=False \
                    when writing), or call the last column 'label'";
        problems.add(path, Position::Line(record.line), "", what);
        false
    })
}

impl Label {
    /// How many cells of a record are numbers.
    fn numbers(self, record: &Record<'_>) -> usize {
        match self {
            Self::Last(_) => record.width().saturating_sub(1),
            Self::None { .. } => record.width(),
        }
    }
}

struct Builder {
    path: PathBuf,
    label: Label,
    width: usize,
    values: Vec<f32>,
    present: Vec<bool>,
    labels: WordsBuilder,
    lines: Vec<u32>,
}

impl Builder {
    fn new(path: &Path, label: Label, rows: usize, numbers: usize) -> Self {
        Self {
            path: path.to_owned(),
            label,
            width: if let Label::None { width } = label { width } else { 0 },
            values: Vec::with_capacity(numbers),
            present: Vec::with_capacity(rows),
            labels: WordsBuilder::with_capacity(rows),
            lines: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, record: &Record<'_>, problems: &mut Problems) {
        let line = record.line;
        let mut bad = |what: String| problems.add(&self.path, Position::Line(line), "", what);
        let width = self.label.numbers(record);
        if self.width == 0 {
            self.width = width;
        }
        let labelled = matches!(self.label, Label::Last(_));
        if width != self.width || width == 0 {
            let label = if labelled { " and a label" } else { "" };
            bad(format!("{} cells, wanted {} numbers{label}", record.width(), self.width));
            return;
        }
        let label = if labelled { record.cell(width) } else { b"" };
        let Ok(label) = std::str::from_utf8(label) else {
            bad("the label is not UTF-8 text; save the file as UTF-8".to_owned());
            return;
        };
        if let Label::Last(task) = self.label
            && let Some(what) = wrong_target(task, label)
        {
            bad(format!("{what} (labels are the last column)"));
        }
        let numbers = || record.cells().take(width);
        let absent = numbers().all(<[u8]>::is_empty);
        for (column, cell) in numbers().enumerate() {
            let value = number(cell);
            match value {
                None if !absent => {
                    let hint = match is_decimal_comma(cell) {
                        true => "; write decimals with a point",
                        false => "",
                    };
                    let cell = String::from_utf8_lossy(cell);
                    bad(format!("column {column}: '{cell}' is not a number{hint}"));
                }
                Some(value) if !(value as f32).is_finite() => {
                    bad(format!("column {column}: {value} is not a finite number of 32 bits"));
                }
                _ => {}
            }
            self.values.push(value.unwrap_or(0.0) as f32);
        }
        self.present.push(!absent);
        self.labels.push(label);
        self.lines.push(u32::try_from(line).unwrap_or(u32::MAX));
    }

    fn finish(self) -> Table {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Self { path, width, values, present, labels, lines, .. } = self;
        Table { path, name, width, values, present, labels: labels.finish(), lines }
    }
}

/// Whether a cell is a number once its comma is a point.
fn is_decimal_comma(cell: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(cell) else { return false };
    text.contains(',') && text.replacen(',', ".", 1).trim().parse::<f64>().is_ok()
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.trim().parse().ok()
}

/// Puts the tables of the splits one below the other and checks that they belong together.
fn collect(splits: Vec<(Option<Split>, Vec<Table>)>, problems: &mut Problems) -> Option<Collected> {
    let count = splits.len();
    let mut given = Vec::new();
    let mut joined: BTreeMap<String, Vec<Table>> = BTreeMap::new();
    let mut firsts: Vec<Words> = Vec::new();
    for (split, tables) in splits {
        let first = tables.first()?;
        tables.iter().for_each(|table| same_labels(first, table, problems));
        given.extend(split.iter().flat_map(|&split| vec![split; first.labels.len()]));
        firsts.push(first.labels.clone());
        for table in tables {
            joined.entry(table.name.clone()).or_default().push(table);
        }
    }
    for (name, tables) in &joined {
        if tables.len() != count {
            let what = "is not in every one of train, val and test";
            problems.add(&tables[0].path, Position::File, name, what);
        }
        for table in tables.iter().filter(|table| table.width != tables[0].width) {
            let what =
                format!("{} numbers per row, but {} elsewhere", table.width, tables[0].width);
            problems.add(&table.path, Position::File, name, what);
        }
    }
    if !problems.is_empty() {
        return None;
    }
    let labels = match &mut firsts[..] {
        [labels] => std::mem::take(labels),
        several => Words::of(several.iter().flat_map(Words::words)),
    };
    let modalities =
        joined.into_iter().map(|(name, tables)| modality(&name, tables, problems)).collect();
    let splits = (!given.is_empty()).then_some(given);
    Some(Collected {
        modalities,
        labels: Some(Given::Cells(labels)),
        ids: None,
        groups: None,
        splits,
    })
}

fn modality(name: &str, tables: Vec<Table>, problems: &mut Problems) -> CollectedModality {
    let (path, shape) = (tables[0].path.clone(), [tables[0].width]);
    let mut present = Vec::with_capacity(tables.iter().map(|table| table.present.len()).sum());
    let mut values = Vec::new();
    for table in tables {
        present.extend(table.present);
        if values.is_empty() {
            values = table.values;
        } else {
            values.extend(table.values);
        }
    }
    let present = |row: usize| present[row];
    CollectedModality::new(&path, name, &shape, Values::F32(values), present, problems)
}

fn same_labels(first: &Table, table: &Table, problems: &mut Problems) {
    if table.labels.len() != first.labels.len() {
        let what = format!(
            "{} rows, but {} has {}",
            table.labels.len(),
            first.path.display(),
            first.labels.len()
        );
        problems.add(&table.path, Position::File, "", what);
        return;
    }
    for (row, &line) in table.lines.iter().enumerate() {
        let (label, other) = (table.labels.word(row), first.labels.word(row));
        if label != other {
            let what = format!("label '{label}', but {} says '{other}'", first.path.display());
            problems.add(&table.path, Position::Line(line.into()), "", what);
        }
    }
}
