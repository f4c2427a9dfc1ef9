//! Tables of words: CSV, TSV and Parquet.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::layout::ending;
use crate::error::at;
use crate::{Error, Place, Problems, Result};

/// Rows of optional words under named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextTable {
    pub(super) names: Vec<String>,
    /// Rows of as many cells as there are names; empty cells are `None`.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Where each row stands.
    pub(super) places: Vec<Place>,
}

/// Reads a table by its ending.
pub(super) fn read_table(path: &Path, problems: &mut Problems) -> Result<TextTable> {
    super::media_file::check(path, "")?;
    let ending = ending(path).unwrap_or_default();
    let table = if ending == "parquet" {
        read_parquet(path)?
    } else {
        let bytes = std::fs::read(path).map_err(at(path))?;
        parse_csv(path, &bytes, if ending == "tsv" { b'\t' } else { b',' }, problems)
    };
    if table.rows.is_empty() {
        problems.add(path, Place::File, "", "there is no row in it");
    }
    Ok(table)
}

/// The table in a CSV file's bytes; lines that do not fit are problems and left out.
pub(super) fn parse_csv(
    path: &Path,
    bytes: &[u8],
    delimiter: u8,
    problems: &mut Problems,
) -> TextTable {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut table = TextTable::default();
    for (n, record) in reader.byte_records().enumerate() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.add(path, Place::Line(n as u64 + 1), "", error.to_string());
                break;
            }
        };
        let place = Place::Line(super::line_of(bytes, &record));
        let cells: std::result::Result<Vec<&str>, _> =
            record.iter().map(std::str::from_utf8).collect();
        let Ok(cells) = cells else {
            problems.add(path, place, "", "not UTF-8 text; save the file as UTF-8");
            continue;
        };
        if table.names.is_empty() {
            table.names = cells.iter().map(ToString::to_string).collect();
            check_names(path, &table.names, problems);
        } else if cells.len() != table.names.len() {
            let what = format!("{} cells, but {} columns", cells.len(), table.names.len());
            problems.add(path, place, "", what);
        } else {
            let cell = |cell: &&str| (!cell.is_empty()).then(|| (*cell).to_owned());
            table.rows.push(cells.iter().map(cell).collect());
            table.places.push(place);
        }
    }
    table
}

fn check_names(path: &Path, names: &[String], problems: &mut Problems) {
    for (n, name) in names.iter().enumerate() {
        if name.is_empty() || name.contains(['/', '.', ';']) {
            let what = "a column's name must be there, without '/', '.' or ';'";
            problems.add(path, Place::Line(1), name, what);
        }
        if names[..n].contains(name) {
            problems.add(path, Place::Line(1), name, "two columns have this name");
        }
    }
}

fn read_parquet(path: &Path) -> Result<TextTable> {
    let bad = |e: parquet::errors::ParquetError| {
        Error::bad_file(path, format!("not a readable Parquet file: {e} (use Snappy or none)"))
    };
    let file = File::open(path).map_err(at(path))?;
    let reader = SerializedFileReader::new(file).map_err(bad)?;
    let mut table = TextTable::default();
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    table.names = columns.iter().map(|column| column.name().to_owned()).collect();
    for (n, row) in reader.get_row_iter(None).map_err(bad)?.enumerate() {
        let row = row.map_err(bad)?;
        table.rows.push(row.get_column_iter().map(|(_, field)| word(field)).collect());
        table.places.push(Place::Row(n));
        if table.rows[n].len() != table.names.len() {
            return Err(Error::bad_file(path, "it has nested columns; save plain ones"));
        }
    }
    Ok(table)
}

fn word(field: &Field) -> Option<String> {
    match field {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}
