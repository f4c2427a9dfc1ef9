//! Feature tables: one CSV a modality, numbers with the label in the last column, no header.
//!
//! A folder holds `NAME.csv` for each modality, row n of every file being example n; or the same in
//! `train/`, `test/` and perhaps `val/`. A row whose numbers are all empty says that the modality is
//! missing there. A first line of words is taken for a header after all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::collected::{Collected, CollectedModality};
use super::layout::ending;
use super::lines::line_of;
use super::partition::Part;
use crate::error::at;
use crate::{Place, Problems, Result};

/// Whether a CSV file is a feature table: whether all but the last cell of its first line of data
/// are numbers or empty, with one number at least.
pub(super) fn is_feature_table(path: &Path) -> Result<bool> {
    let bytes = read_bytes(path)?;
    let Some(Ok(record)) = reader(path, &bytes).byte_records().next() else { return Ok(false) };
    let features = record.len().saturating_sub(1);
    let numbers = record.iter().take(features).filter(|cell| number(cell).is_some()).count();
    let empty = record.iter().take(features).filter(|cell| cell.is_empty()).count();
    Ok(numbers > 0 && numbers + empty == features)
}

/// Reads a folder of tables, or one.
pub(super) fn read(path: &Path, problems: &mut Problems) -> Result<Option<Collected>> {
    if path.is_file() {
        return Ok(collect(&[(None, tables(&[path.to_owned()], problems)?)], problems));
    }
    let mut parts = Vec::new();
    for (part, names) in [
        (Part::Train, &["train"][..]),
        (Part::Validation, &["val", "valid", "validation"]),
        (Part::Test, &["test"]),
    ] {
        if let Some(folder) = names.iter().map(|name| path.join(name)).find(|f| f.is_dir()) {
            parts.push((Some(part), tables(&files(&folder)?, problems)?));
        }
    }
    if parts.is_empty() {
        parts.push((None, tables(&files(path)?, problems)?));
    }
    Ok(collect(&parts, problems))
}

/// One table: rows of one width, with their labels.
struct Table {
    path: PathBuf,
    name: String,
    width: usize,
    values: Vec<f64>,
    present: Vec<bool>,
    labels: Vec<String>,
    lines: Vec<u64>,
}

/// The `.csv` files of a folder by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if ending(&path).as_deref() == Some("csv") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn tables(files: &[PathBuf], problems: &mut Problems) -> Result<Vec<Table>> {
    files.iter().map(|path| table(path, problems)).collect()
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    super::media_file::check(path, "")?;
    std::fs::read(path).map_err(at(path))
}

fn reader<'a>(path: &Path, bytes: &'a [u8]) -> csv::Reader<&'a [u8]> {
    let delimiter = if ending(path).as_deref() == Some("tsv") { b'\t' } else { b',' };
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(bytes)
}

fn table(path: &Path, problems: &mut Problems) -> Result<Table> {
    Ok(parse(path, &read_bytes(path)?, problems))
}

/// Rows and width of the feature table in a CSV file's bytes; everything wrong with it goes to
/// `problems`, under the name of `path`.
pub fn parse_feature_table(path: &Path, bytes: &[u8], problems: &mut Problems) -> (usize, usize) {
    let table = parse(path, bytes, problems);
    (table.labels.len(), table.width)
}

fn parse(path: &Path, bytes: &[u8], problems: &mut Problems) -> Table {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut table = Table {
        path: path.to_owned(),
        name,
        width: 0,
        values: Vec::new(),
        present: Vec::new(),
        labels: Vec::new(),
        lines: Vec::new(),
    };
    for (n, record) in reader(path, bytes).byte_records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.add(path, Place::Line(n as u64 + 1), "", error.to_string());
                break;
            }
        };
        if n == 0 && record.iter().all(|cell| !cell.is_empty() && number(cell).is_none()) {
            continue;
        }
        table.push(&record, line_of(bytes, &record), problems);
    }
    if table.labels.is_empty() {
        problems.add(path, Place::File, "", "there are no rows of values in it");
    }
    table
}

impl Table {
    fn push(&mut self, record: &csv::ByteRecord, line: u64, problems: &mut Problems) {
        let mut bad = |what: String| problems.add(&self.path, Place::Line(line), "", what);
        let width = record.len().saturating_sub(1);
        if self.width == 0 {
            self.width = width;
        }
        if width != self.width || width == 0 {
            bad(format!("{} cells, wanted {} numbers and a label", record.len(), self.width));
            return;
        }
        let Ok(label) = std::str::from_utf8(&record[width]) else {
            bad("the label is not UTF-8 text; save the file as UTF-8".to_owned());
            return;
        };
        if label.is_empty() {
            bad("the label (last column) is empty".to_owned());
        }
        let absent = record.iter().take(width).all(<[u8]>::is_empty);
        for (column, cell) in record.iter().take(width).enumerate() {
            let value = number(cell);
            if value.is_none() && !absent {
                let cell = String::from_utf8_lossy(cell);
                bad(format!("column {column}: '{cell}' is not a number"));
            }
            self.values.push(value.unwrap_or(0.0));
        }
        self.present.push(!absent);
        self.labels.push(label.to_owned());
        self.lines.push(line);
    }
}

fn number(cell: &[u8]) -> Option<f64> {
    // A byte order mark before the first number.
    let cell = cell.strip_prefix(b"\xef\xbb\xbf").unwrap_or(cell);
    std::str::from_utf8(cell).ok()?.trim().parse().ok()
}

/// Puts the tables of the parts one below the other and checks that they belong together.
fn collect(parts: &[(Option<Part>, Vec<Table>)], problems: &mut Problems) -> Option<Collected> {
    let mut labels = Vec::new();
    let mut given = Vec::new();
    let mut joined: BTreeMap<String, Vec<&Table>> = BTreeMap::new();
    for (part, tables) in parts {
        let first = tables.first()?;
        for table in tables {
            same_labels(first, table, problems);
            joined.entry(table.name.clone()).or_default().push(table);
        }
        labels.extend(first.labels.iter().cloned());
        given.extend(part.iter().flat_map(|&part| vec![part; first.labels.len()]));
    }
    for (name, tables) in &joined {
        if tables.len() != parts.len() {
            let what = "is not in every one of train, val and test";
            problems.add(&tables[0].path, Place::File, name, what);
        }
        for table in tables.iter().filter(|table| table.width != tables[0].width) {
            let what = format!("{} numbers a row, but {} elsewhere", table.width, tables[0].width);
            problems.add(&table.path, Place::File, name, what);
        }
    }
    if !problems.is_empty() {
        return None;
    }
    let modalities = joined.iter().map(|(name, tables)| modality(name, tables, problems)).collect();
    let parts = (!given.is_empty()).then_some(given);
    Some(Collected { modalities, labels, groups: None, parts })
}

fn modality(name: &str, tables: &[&Table], problems: &mut Problems) -> CollectedModality {
    let values: Vec<f64> = tables.iter().flat_map(|table| table.values.iter().copied()).collect();
    let present: Vec<bool> = tables.iter().flat_map(|t| t.present.iter().copied()).collect();
    for table in tables {
        for (row, values) in table.values.chunks_exact(table.width).enumerate() {
            if let Some(column) = values.iter().position(|&value| !(value as f32).is_finite()) {
                let what = format!("column {column}: {} is not a finite number", values[column]);
                problems.add(&table.path, Place::Line(table.lines[row]), "", what);
            }
        }
    }
    // Named by line above.
    let mut told = Problems::new();
    let shape = [tables[0].width];
    CollectedModality::new(&tables[0].path, name, &shape, &values, |row| present[row], &mut told)
}

fn same_labels(first: &Table, table: &Table, problems: &mut Problems) {
    if table.labels.len() != first.labels.len() {
        let what = format!(
            "{} rows, but {} has {}",
            table.labels.len(),
            first.path.display(),
            first.labels.len()
        );
        problems.add(&table.path, Place::File, "", what);
        return;
    }
    let pairs = table.labels.iter().zip(&first.labels).zip(&table.lines);
    for ((label, other), &line) in pairs.filter(|((label, other), _)| label != other) {
        let what = format!("label '{label}', but {} says '{other}'", first.path.display());
        problems.add(&table.path, Place::Line(line), "", what);
    }
}
