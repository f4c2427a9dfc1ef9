//! Tables of words in Parquet.

use std::path::Path;

use bytes::Bytes;
use parquet::basic::{Compression, Repetition};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::parquet_footer::with_clean_footer;
use super::parquet_pages::check_pages;
use super::table::{Size, TextTable, check_names};
use crate::error::{Error, Result};
use crate::problems::{Position, Problems};

/// The table in a Parquet file's bytes.
///
/// # Errors
/// When it cannot be read, or columns hold something other than words and numbers.
pub(super) fn parse(path: &Path, bytes: Vec<u8>, problems: &mut Problems) -> Result<TextTable> {
    let bad = |e: ParquetError| {
        Error::bad_file(path, format!("not a readable Parquet file: {e} (use Snappy or none)"))
    };
    let bytes = with_clean_footer(bytes).map_err(|what| Error::bad_file(path, what))?;
    let bytes = Bytes::from(bytes);
    let reader = SerializedFileReader::new(bytes.clone()).map_err(bad)?;
    let metadata = reader.metadata();
    let mut table = TextTable::default();
    for field in metadata.file_metadata().schema().get_fields() {
        let is_list =
            field.is_primitive() && field.get_basic_info().repetition() == Repetition::REPEATED;
        if field.is_group() || is_list {
            let what = "the column holds lists or structures; a cell is one word, number or path";
            problems.add(path, Position::File, field.name(), what);
        }
        table.names.push(field.name().to_owned());
    }
    check_names(path, &table.names, problems);
    for group in metadata.row_groups() {
        for column in group.columns() {
            if !matches!(column.compression(), Compression::UNCOMPRESSED | Compression::SNAPPY) {
                let what =
                    format!("it is compressed by {}; use Snappy or none", column.compression());
                problems.add(path, Position::File, column.column_path().string(), what);
            }
        }
    }
    if !problems.is_empty() {
        return Ok(table);
    }
    check_pages(&bytes, metadata).map_err(|what| Error::bad_file(path, what))?;
    let mut size = Size::default();
    for (n, row) in reader.get_row_iter(None).map_err(bad)?.enumerate() {
        let row = row.map_err(bad)?;
        let cells: Vec<Option<String>> =
            row.get_column_iter().map(|(_, field)| word(field)).collect();
        if cells.len() != table.names.len() {
            return Err(Error::bad_file(path, "rows and columns do not fit; the file is damaged"));
        }
        size.add_row(cells.len(), cells.iter().flatten().map(String::len).sum());
        if size.is_too_large() {
            problems.add(path, Position::File, "", size.problem());
            break;
        }
        if size.bytes > MOST_TEXT.max(32 * bytes.len()) {
            let what = format!("its text has more than {} bytes", MOST_TEXT.max(32 * bytes.len()));
            problems.add(path, Position::File, "", what);
            break;
        }
        table.rows.push(cells);
        table.positions.push(Position::Row(n));
    }
    Ok(table)
}

/// Text beyond this, and far beyond the size of the file, is an archive bomb of repeated words.
const MOST_TEXT: usize = 256 << 20;

fn word(field: &Field) -> Option<String> {
    match field {
        Field::Null => None,
        Field::Str(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}
