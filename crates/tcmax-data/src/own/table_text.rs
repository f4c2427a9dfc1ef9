//! Tables of words: CSV, TSV and Parquet.

use std::path::Path;

use super::layout::ending;
use super::{media_file, table_parquet};
use crate::csv_records::{Records, delimiter};
use crate::{Place, Problems, Result};

/// Rows of optional words under named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TextTable {
    pub(super) names: Vec<String>,
    /// Rows of as many cells as there are names; empty cells are `None`.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Where each row is.
    pub(super) places: Vec<Place>,
}

/// Reads a table by its ending.
pub(super) fn read_table(path: &Path, problems: &mut Problems) -> Result<TextTable> {
    let bytes = media_file::read(path, "")?;
    let ending = ending(path).unwrap_or_default();
    let table = if ending == "parquet" {
        table_parquet::parse(path, bytes, problems)?
    } else {
        parse_csv(path, &bytes, delimiter(&ending, &bytes), problems)
    };
    if table.rows.is_empty() && problems.is_empty() {
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
    let mut table = TextTable::default();
    let mut size = Size::default();
    let mut records = Records::new(bytes, delimiter);
    while let Some(Ok(record)) = records.next() {
        size.add_row(record.len(), 0);
    }
    size.bytes = bytes.len();
    if size.is_too_large() {
        problems.add(path, Place::File, "", size.problem());
        return table;
    }
    table.rows.reserve_exact(size.rows.saturating_sub(1));
    table.places.reserve_exact(size.rows.saturating_sub(1));
    let mut records = Records::new(bytes, delimiter);
    while let Some(record) = records.next() {
        let record = match record {
            Ok(record) => record,
            Err((line, error)) => {
                problems.add(path, Place::Line(line), "", error);
                break;
            }
        };
        let place = Place::Line(record.line);
        let cells: std::result::Result<Vec<&str>, _> =
            record.cells().map(std::str::from_utf8).collect();
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

/// How large a table is, to be checked before its rows are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) cells: usize,
    /// Bytes of text.
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn add_row(&mut self, cells: usize, bytes: usize) {
        self.rows += 1;
        self.cells += cells;
        self.bytes += bytes;
    }

    /// Whether rows and cells would take far more memory than their text: no table of files or texts
    /// has cells of a few bytes by the million.
    pub(super) fn is_too_large(&self) -> bool {
        const PER_ROW: usize = 240;
        const PER_CELL: usize = 32;
        PER_ROW * self.rows + PER_CELL * self.cells > (40 << 20) + 12 * self.bytes
    }

    pub(super) fn problem(&self) -> String {
        format!(
            "{} rows of {} bytes on average are no table of files or texts; for numbers use feature \
             tables or a feature file",
            self.rows,
            self.bytes / self.rows.max(1)
        )
    }
}

pub(super) fn check_names(path: &Path, names: &[String], problems: &mut Problems) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() || name.contains(['/', '.', ';']) {
            let what = "a column's name must be there, without '/', '.' or ';'";
            problems.add(path, Place::Line(1), name, what);
        }
        if !seen.insert(name) {
            problems.add(path, Place::Line(1), name, "two columns have this name");
        }
    }
}
