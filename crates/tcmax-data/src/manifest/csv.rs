//! Tables of words in CSV and TSV.

use std::path::Path;

use super::table::{Size, TextTable, check_names};
use crate::csv_records::Records;
use crate::problems::{Position, Problems};

/// The table in a CSV file's bytes; lines that do not fit are problems and left out.
pub(super) fn parse(path: &Path, bytes: &[u8], problems: &mut Problems) -> TextTable {
    let mut table = TextTable::default();
    let mut size = Size::default();
    let mut records = Records::open(path, bytes);
    while let Some(Ok(record)) = records.next() {
        size.add_row(record.width(), 0);
    }
    size.bytes = bytes.len();
    if size.is_too_large() {
        problems.add(path, Position::File, "", size.problem());
        return table;
    }
    table.rows.reserve_exact(size.rows.saturating_sub(1));
    table.positions.reserve_exact(size.rows.saturating_sub(1));
    Records::open(path, bytes).each_text(path, problems, |record, cells, problems| {
        let position = Position::Line(record.line);
        if table.names.is_empty() {
            table.names = cells.iter().map(ToString::to_string).collect();
            check_names(path, &table.names, problems);
        } else if cells.len() != table.names.len() {
            let what = format!("{} cells, but {} columns", cells.len(), table.names.len());
            problems.add(path, position, "", what);
        } else {
            let cell = |cell: &&str| (!cell.is_empty()).then(|| (*cell).to_owned());
            table.rows.push(cells.iter().map(cell).collect());
            table.positions.push(position);
        }
    });
    table
}
