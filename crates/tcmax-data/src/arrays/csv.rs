//! Comma-, semicolon- or tab-separated tables, one array per column.
//!
//! Without a header ([`TableKind::Arrays`]) columns are called `0`, `1`, ... Cells that are empty, `nan`,
//! `NA`, `null` and the like become NaN. A column of numbers with some other cells among them is
//! read as words and carries a doubt ([`Array::doubt`]).
//!
//! The text is read twice: once to see what each column is, once into arrays of the right size.

use std::path::Path;

use super::array::{Array, ArrayKind};
use super::values::{Values, with_room};
use crate::csv_records::{Record, Records, TableKind, number};
use crate::error::{Error, Result};
use crate::words::WordsBuilder;

/// Distinct words of all columns together. With more, a column does not hold classes, and its words are not
/// kept.
const MOST_WORDS: usize = 1 << 19;

/// What is known of a column after the first reading.
#[derive(Default)]
struct Column {
    numbers: usize,
    words: usize,
    /// Whether some number is not a whole one, or is missing.
    fraction: bool,
    /// The first cell that is neither a number nor missing.
    first_word: Option<(u64, String)>,
}

impl Column {
    fn see(&mut self, line: u64, cell: &str) {
        match number(cell) {
            Some(value) if value.is_nan() => self.fraction = true,
            Some(_) => {
                self.numbers += 1;
                self.fraction |= cell.parse::<i64>().is_err();
            }
            None => {
                self.words += 1;
                self.first_word.get_or_insert_with(|| (line, shortened(cell)));
            }
        }
    }
}

fn shortened(cell: &str) -> String {
    let short: String = cell.chars().take(40).collect();
    if short.len() < cell.len() { short + "..." } else { short }
}

pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Vec<Array>> {
    let (names, columns, rows) = scan(path, text)?;
    if rows == 0 {
        return Err(Error::bad_file(path, "there are no rows of values in it"));
    }
    let mut numbers: Vec<Vec<f64>> = Vec::with_capacity(columns.len());
    let mut words: Vec<WordsBuilder> = Vec::with_capacity(columns.len());
    for (column, name) in columns.iter().zip(&names) {
        let is_text = column.words > 0;
        numbers.push(with_room(path, name, if is_text { 0 } else { rows })?);
        words.push(WordsBuilder::with_capacity(if is_text { rows } else { 0 }));
    }
    let mut room = MOST_WORDS;
    let mut overflowed = vec![false; columns.len()];
    let mut reader = Table::new(path, text);
    while let Some(record) = reader.next()? {
        for (c, column) in columns.iter().enumerate() {
            let cell = utf8(path, &record, c)?;
            if column.words == 0 {
                numbers[c].push(number(cell).unwrap_or(f64::NAN));
            } else if !overflowed[c] {
                let before = words[c].distinct();
                words[c].push(cell);
                match room.checked_sub(words[c].distinct() - before) {
                    Some(left) => room = left,
                    None => {
                        overflowed[c] = true;
                        room += words[c].distinct() - 1;
                        words[c] = WordsBuilder::default();
                    }
                }
            }
        }
    }
    let mut arrays = Vec::with_capacity(columns.len());
    for (c, (name, numbers)) in names.into_iter().zip(numbers).enumerate() {
        let column = &columns[c];
        arrays.push(if column.words == 0 {
            let kind = if column.fraction { ArrayKind::Real } else { ArrayKind::Integer };
            Array::new(path, name, kind, &[rows], Values::F64(numbers))?
        } else {
            let words = std::mem::take(&mut words[c]);
            let mut array = if overflowed[c] {
                let no_words = Values::F32(vec![f32::NAN; rows]);
                Array::new(path, name, ArrayKind::Text, &[rows], no_words)?
            } else {
                Array::of_words(path, name, words)?
            };
            array.doubt = doubt(path, column, overflowed[c]);
            array
        });
    }
    Ok(arrays)
}

/// Why a column of words may not be what it looks like.
fn doubt(path: &Path, column: &Column, overflowed: bool) -> Option<String> {
    if overflowed {
        return Some(format!(
            "the column in {} has too many different words to be classes",
            path.display()
        ));
    }
    let (line, word) = column.first_word.as_ref().filter(|_| column.numbers >= column.words)?;
    Some(format!(
        "'{word}' in line {line} of {} is not a number, but {} of {} cells are",
        path.display(),
        column.numbers,
        column.numbers + column.words
    ))
}

/// Names of the columns, what they are, and the number of rows.
fn scan(path: &Path, text: &[u8]) -> Result<(Vec<String>, Vec<Column>, usize)> {
    let mut reader = Table::new(path, text);
    let mut columns: Vec<Column> = Vec::new();
    let mut rows = 0;
    while let Some(record) = reader.next()? {
        if columns.is_empty() {
            columns.resize_with(record.width(), Column::default);
        }
        for (c, column) in columns.iter_mut().enumerate() {
            column.see(record.line, utf8(path, &record, c)?);
        }
        rows += 1;
    }
    let names = match reader.names {
        Some(names) => names,
        None => (0..columns.len()).map(|c| c.to_string()).collect(),
    };
    Ok((names, columns, rows))
}

/// The rows of a table below its header, all of one width.
struct Table<'a> {
    path: &'a Path,
    records: Records<'a>,
    width: Option<usize>,
    names: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, text: &'a [u8]) -> Self {
        Self { path, records: Records::open(path, text), width: None, names: None }
    }

    fn next(&mut self) -> Result<Option<Record<'_>>> {
        let path = self.path;
        let bad = |(line, problem): (u64, String)| {
            Error::bad_file(path, format!("line {line}: {problem}"))
        };
        if self.width.is_none() {
            // The first record is read ahead, in case it is a row.
            let mut ahead = self.records.ahead();
            let Some(first) = ahead.next().transpose().map_err(bad)? else { return Ok(None) };
            self.width = Some(first.width());
            if first.is_header(TableKind::Arrays) == Some(true) {
                let name = |(c, cell): (usize, &[u8])| match cell {
                    b"" => Ok(c.to_string()),
                    _ => text_of(path, first.line, cell).map(str::to_owned),
                };
                self.names = Some(first.cells().enumerate().map(name).collect::<Result<_>>()?);
                self.records.next();
            }
        }
        let width = self.width.unwrap_or_default();
        let Some(record) = self.records.next().transpose().map_err(bad)? else { return Ok(None) };
        if record.width() != width {
            let problem = format!("{} cells, but {width} columns", record.width());
            return Err(bad((record.line, problem)));
        }
        Ok(Some(record))
    }
}

fn utf8<'r>(path: &Path, record: &'r Record<'_>, column: usize) -> Result<&'r str> {
    text_of(path, record.line, record.cell(column))
}

fn text_of<'c>(path: &Path, line: u64, cell: &'c [u8]) -> Result<&'c str> {
    std::str::from_utf8(cell).map_err(|_| {
        Error::bad_file(path, format!("line {line}: the text is not UTF-8; save it as UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Array>> {
        parse(Path::new("x.csv"), text.as_bytes())
    }

    fn values(array: &Array) -> Vec<f64> {
        array.values.iter().collect()
    }

    #[test]
    fn headers_kinds_and_holes_are_found() {
        let arrays = read("a, y ,word\n1.5,3,no\n,4,yes\n2,3,\"no\"\n").unwrap();
        let kinds: Vec<ArrayKind> = arrays.iter().map(|array| array.kind).collect();
        assert_eq!(kinds, [ArrayKind::Real, ArrayKind::Integer, ArrayKind::Text]);
        assert_eq!(arrays[1].name, "y");
        assert_eq!(values(&arrays[2]), [0.0, 1.0, 0.0]);
        assert_eq!(arrays[2].words, ["no", "yes"]);
        assert!(arrays[0].values.get(1).is_nan());
        let bare = read("1,2\n3,4\n").unwrap();
        assert_eq!((bare[1].name.as_str(), values(&bare[1])), ("1", vec![2.0, 4.0]));
        // The header of a table that pandas wrote without names.
        assert_eq!(values(&read("0,1,2\n5,6,7\n").unwrap()[2]), [7.0]);
        let semicolons = read("a;b\n1;2\n").unwrap();
        assert_eq!((semicolons.len(), values(&semicolons[1])), (2, vec![2.0]));
    }

    #[test]
    fn a_word_among_numbers_is_doubted_and_missing_ones_are_not_words() {
        for (odd, doubted) in
            [("n/a", false), ("-", false), ("NULL", false), ("1,5", true), ("x", true)]
        {
            let text = format!("a;b\n1;2\n3;{odd}\n5;6\n");
            let arrays = read(&text).unwrap();
            assert_eq!(arrays[1].doubt.is_some(), doubted, "{odd}");
            if doubted {
                let doubt = arrays[1].doubt.as_ref().unwrap();
                let wanted =
                    format!("'{odd}' in line 3 of x.csv is not a number, but 2 of 3 cells are");
                assert_eq!((doubt, arrays[1].kind), (&wanted, ArrayKind::Text));
            } else {
                assert_eq!(arrays[1].kind, ArrayKind::Real);
                assert!(arrays[1].values.get(1).is_nan());
            }
        }
        assert_eq!(read("a\nx\ny\n7\n").unwrap()[0].doubt, None, "words with a number among them");
    }

    #[test]
    fn ragged_and_empty_tables_are_errors() {
        let error = read("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("x.csv: line 3: 1 cells, but 2 columns"), "{error}");
        assert!(read("").is_err());
        assert!(read("a,b\n").is_err());
        assert!(parse(Path::new("x.csv"), b"a\n\xff\n").is_err());
    }
}
