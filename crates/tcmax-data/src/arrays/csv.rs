//! Comma- or tab-separated tables, one array a column.
//!
//! The first row names the columns unless all its cells are numbers; then columns are called `0`, `1`,
//! ... Cells that are empty, `nan` or `NA` become NaN.

use std::path::Path;

use super::{Array, ArrayKind};
use crate::{Error, Result};

pub(super) fn parse(path: &Path, text: &str, delimiter: u8) -> Result<Vec<Array>> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .trim(::csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let mut names: Option<Vec<String>> = None;
    let mut columns: Vec<Vec<String>> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| Error::bad_file(path, e.to_string()))?;
        if names.is_none() {
            let is_header = record.iter().any(|cell| number(cell).is_none());
            let name = |(i, cell): (usize, &str)| match cell {
                cell if is_header && !cell.is_empty() => cell.to_owned(),
                _ => i.to_string(),
            };
            names = Some(record.iter().enumerate().map(name).collect());
            columns = vec![Vec::new(); record.len()];
            if is_header {
                continue;
            }
        }
        columns.iter_mut().zip(&record).for_each(|(column, cell)| column.push(cell.to_owned()));
    }
    let rows = columns.first().map_or(0, Vec::len);
    if rows == 0 {
        return Err(Error::bad_file(path, "there are no rows of values in it"));
    }
    let array = |(name, cells): (String, &Vec<String>)| {
        let Some(values) = cells.iter().map(|cell| number(cell)).collect::<Option<Vec<_>>>() else {
            return Array::of_words(path, name, cells);
        };
        let whole = cells.iter().all(|cell| cell.parse::<i64>().is_ok());
        let kind = if whole { ArrayKind::Integer } else { ArrayKind::Real };
        Array::new(path, name, kind, &[rows], values)
    };
    names.unwrap_or_default().into_iter().zip(&columns).map(array).collect()
}

/// A number, NaN for a missing one, none for a word.
fn number(cell: &str) -> Option<f64> {
    match cell {
        "" | "NA" | "na" => Some(f64::NAN),
        _ => cell.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Array>> {
        parse(Path::new("x.csv"), text, b',')
    }

    #[test]
    fn headers_kinds_and_holes_are_found() {
        let arrays = read("a, y ,word\n1.5,3,no\n,4,yes\n2,3,\"no\"\n").unwrap();
        let kinds: Vec<ArrayKind> = arrays.iter().map(|array| array.kind).collect();
        assert_eq!(kinds, [ArrayKind::Real, ArrayKind::Integer, ArrayKind::Text]);
        assert_eq!(arrays[1].name, "y");
        assert_eq!(arrays[2].values, [0.0, 1.0, 0.0]);
        assert_eq!(arrays[2].words, ["no", "yes"]);
        assert!(arrays[0].values[1].is_nan());
        let bare = read("1,2\n3,4\n").unwrap();
        assert_eq!((bare[1].name.as_str(), bare[1].values.as_slice()), ("1", &[2.0, 4.0][..]));
    }

    #[test]
    fn ragged_and_empty_tables_are_errors() {
        let error = read("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("x.csv"), "{error}");
        assert!(read("").is_err());
        assert!(read("a,b\n").is_err());
    }
}
