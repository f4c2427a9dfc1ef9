//! Comma-, semicolon- or tab-separated text: the one reader of tables that others wrote.
//!
//! [`Records`] reads one record at a time in bounded memory, without a byte order mark and empty lines.
//! [`Record::is_header`] says whether the first one names the columns: that rule is here, for every kind
//! of table but manifests, which always have a header.
//!
//! `csv_core` parses; the line of each record is counted here, because the parser's own count lags
//! where lines end in a carriage return and a line feed. A record has at most 131,072 cells, so
//! that a file of separators alone cannot take many times its size.

use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::file::{ending, without_mark};
use crate::labels::LABELS;
use crate::problems::{Position, Problems};
use crate::words::is_missing;

/// Cells of the longest record.
const MOST_CELLS: usize = 1 << 17;

/// First cells of the headers of published lists.
const FIRST_OF_LISTS: [&str; 10] = [
    "youtube_id",
    "idx",
    "id",
    "name",
    "video",
    "video_id",
    "file",
    "filename",
    "picture",
    "image",
];

/// What the rows of a table hold, which tells its header from a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Numbers or words in any column. A header has a word; or it counts 0, 1, 2, ..., as pandas does by
    /// default.
    Arrays,
    /// Numbers, and a label in the last column. A header has words only; or it counts 0, 1, 2, ... up to
    /// the name of the label.
    Features,
    /// The name of a clip in the first column, as published lists have it. A header begins with the usual
    /// name of that column.
    List,
}

/// Reads records from bytes.
pub struct Records<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    reader: Reader,
    /// Line on which `bytes` begins, from 1.
    line: u64,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

/// One record, its cells without white space around them.
pub struct Record<'r> {
    /// The line on which it begins, from 1.
    pub line: u64,
    cells: &'r [u8],
    ends: &'r [usize],
}

impl<'a> Records<'a> {
    /// The records of a file of the user: tabs separate the cells in `.tsv` files, in others commas,
    /// semicolons or tabs, as the first line shows.
    pub fn open(path: &Path, bytes: &'a [u8]) -> Self {
        let bytes = without_mark(bytes);
        Self::new(bytes, delimiter(&ending(path), bytes))
    }

    /// Records whose cells `delimiter` separates.
    pub fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self {
            bytes: without_mark(bytes),
            delimiter,
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            line: 1,
            cells: vec![0; 1 << 10],
            ends: vec![0; 1 << 6],
        }
    }

    /// A reader of the same records from here on, to look ahead: a clone of csv_core's own reader (0.1.13)
    /// does not know the delimiter.
    pub(crate) fn ahead(&self) -> Self {
        Self { line: self.line, ..Self::new(self.bytes, self.delimiter) }
    }

    /// The next record; empty lines are none.
    ///
    /// # Errors
    /// The line of a record with too many cells, and what is wrong; nothing can be read after it.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Record<'_>, (u64, String)>> {
        let blank = self.bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.consume(blank);
        let line = self.line;
        let (mut filled, mut count) = (0, 0);
        loop {
            let (result, taken, written, ended) = self.reader.read_record(
                self.bytes,
                &mut self.cells[filled..],
                &mut self.ends[count..],
            );
            self.consume(taken);
            filled += written;
            count += ended;
            match result {
                // A call without input is how the parser learns that this is the end.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(2 * self.cells.len(), 0),
                ReadRecordResult::OutputEndsFull if count >= MOST_CELLS => {
                    self.bytes = &[];
                    self.reader.reset();
                    let problem = format!("more than {MOST_CELLS} cells in a line");
                    return Some(Err((line, problem)));
                }
                ReadRecordResult::OutputEndsFull => {
                    self.ends.resize((2 * self.ends.len()).min(MOST_CELLS), 0);
                }
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let (cells, ends) = (&self.cells[..filled], &self.ends[..count]);
        Some(Ok(Record { line, cells, ends }))
    }

    /// Hands every record and its cells as text to `each`; what cannot be read is a problem of the file
    /// `path`.
    pub fn each_text(
        mut self,
        path: &Path,
        problems: &mut Problems,
        mut each: impl FnMut(&Record<'_>, &[&str], &mut Problems),
    ) {
        while let Some(record) = self.next() {
            match record {
                Err((line, error)) => problems.add(path, Position::Line(line), "", error),
                Ok(record) => match record.texts() {
                    Ok(cells) => each(&record, &cells, problems),
                    Err(_) => {
                        let what = "not UTF-8 text; save the file as UTF-8";
                        problems.add(path, Position::Line(record.line), "", what);
                    }
                },
            }
        }
    }

    fn consume(&mut self, count: usize) {
        let (taken, rest) = self.bytes.split_at(count);
        self.line += taken.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.bytes = rest;
    }
}

impl Record<'_> {
    /// How many cells it has.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// The cell at `index`.
    pub fn cell(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.cells[start..self.ends[index]].trim_ascii()
    }

    /// All cells in order.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.width()).map(|index| self.cell(index))
    }

    /// All cells in order as text.
    fn texts(&self) -> Result<Vec<&str>, std::str::Utf8Error> {
        self.cells().map(std::str::from_utf8).collect()
    }

    /// Whether this record, the first of a table, names the columns; none where a feature table begins
    /// with 0, 1, 2, ..., which may be either.
    pub fn is_header(&self, kind: TableKind) -> Option<bool> {
        let counted =
            self.cells().enumerate().take_while(|(c, cell)| *cell == c.to_string().as_bytes());
        let (counted, count) = (counted.count(), self.width());
        let named = |names: &[&str], cell: &[u8]| {
            names.iter().any(|name| cell.eq_ignore_ascii_case(name.as_bytes()))
        };
        match kind {
            TableKind::List => Some(named(&FIRST_OF_LISTS, self.cell(0))),
            TableKind::Arrays => {
                Some((count >= 3 && counted == count) || self.cells().any(is_word))
            }
            TableKind::Features if count >= 3 && counted == count => None,
            TableKind::Features => {
                let labelled = counted + 1 == count && named(&LABELS, self.cell(count - 1));
                Some(labelled || self.cells().all(is_word))
            }
        }
    }
}

/// Whether a cell is neither a number nor missing.
fn is_word(cell: &[u8]) -> bool {
    std::str::from_utf8(cell).map_or(true, |cell| number(cell).is_none())
}

/// The number in a cell: NaN for a missing one, none for a word.
pub(crate) fn number(cell: &str) -> Option<f64> {
    match cell.parse() {
        Ok(value) => Some(value),
        Err(_) => is_missing(cell).then_some(f64::NAN),
    }
}

/// What separates the cells: the tab in `.tsv` files; otherwise a comma, or what the first line has
/// of semicolons and tabs when it has no comma outside quotes. Decimal commas of numbers between
/// semicolons do not count.
fn delimiter(ending: &str, bytes: &[u8]) -> u8 {
    if ending == "tsv" {
        return b'\t';
    }
    let mut quoted = false;
    let (mut semicolon, mut tab) = (false, false);
    let blank = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let line = bytes[blank..].split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let line = &line[..line.len().min(1 << 16)];
    if line.split(|&byte| byte == b';').any(is_decimal) && line.contains(&b';') {
        return b';';
    }
    for byte in line {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b',' => return b',',
            b';' => semicolon = true,
            b'\t' => tab = true,
            _ => {}
        }
    }
    match (semicolon, tab) {
        (true, _) => b';',
        (false, true) => b'\t',
        _ => b',',
    }
}

/// Whether a cell is digits, a comma, and digits.
fn is_decimal(cell: &[u8]) -> bool {
    let mut halves = cell.trim_ascii().splitn(2, |&byte| byte == b',');
    let whole = halves.next().map(|half| half.strip_prefix(b"-").unwrap_or(half));
    let digits = |half: &[u8]| !half.is_empty() && half.iter().all(u8::is_ascii_digit);
    whole.is_some_and(digits) && halves.next().is_some_and(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::open(Path::new("x.csv"), text.as_bytes());
        let mut found = Vec::new();
        while let Some(record) = records.next() {
            let record = record.unwrap();
            let cells = record.cells().map(|cell| String::from_utf8_lossy(cell).into_owned());
            found.push((record.line, cells.collect()));
        }
        found
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for text in ["a,1\n\nb,2\nc,3\n", "a,1\r\n\r\nb,2\r\nc,3", "\u{feff}a,1\n\n\"b\",2\n c , 3"]
        {
            let found = all(text);
            let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [1, 3, 4], "{text:?}");
            assert_eq!(found[2].1, ["c", "3"]);
        }
        assert_eq!(all("a,\"x\ny\"\nb,2\n")[1].0, 3);
        assert!(all("").is_empty() && all("\n\r\n").is_empty());
        assert_eq!(all(&format!("{},1", "x".repeat(5_000)))[0].1[0].len(), 5_000);
    }

    #[test]
    fn semicolons_and_tabs_are_seen() {
        assert_eq!(all("a;b\n1,5;2\n")[1].1, ["1,5", "2"]);
        assert_eq!(all("a\tb\n1\t2\n")[1].1, ["1", "2"]);
        assert_eq!(all("\"a;b\",c\n1,2\n")[0].1, ["a;b", "c"]);
        assert_eq!(all("a;b,c\n")[0].1, ["a;b", "c"]);
        assert_eq!(all("0,5;-1,25;x\n")[0].1, ["0,5", "-1,25", "x"]);
    }

    #[test]
    fn headers_are_reported_from_rows() {
        let first = |kind, text: &str| {
            Records::new(text.as_bytes(), b',').next().unwrap().unwrap().is_header(kind)
        };
        use TableKind::{Arrays, Features, List};
        for (text, arrays, features) in [
            ("a,b,c", Some(true), Some(true)),
            ("a,2,c", Some(true), Some(false)),
            ("0.5,2,3", Some(false), Some(false)),
            ("0.5,,c", Some(true), Some(false)),
            ("NA,,3", Some(false), Some(false)),
            ("0,1,2", Some(true), None),
            ("0,1,Label", Some(true), Some(true)),
            ("0,1,cat", Some(true), Some(false)),
            ("0,1", Some(false), Some(false)),
        ] {
            assert_eq!((first(Arrays, text), first(Features, text)), (arrays, features), "{text}");
        }
        assert_eq!(first(List, "YouTube_ID,label"), Some(true));
        assert_eq!(first(List, "---g-f_I2yQ_1_11,people marching"), Some(false));
    }

    #[test]
    fn endless_records_are_refused() {
        let text = ",".repeat(MOST_CELLS);
        let mut records = Records::new(text.as_bytes(), b',');
        assert!(records.next().unwrap().is_err() && records.next().is_none());
        let text = ",".repeat(MOST_CELLS - 1);
        assert_eq!(
            Records::new(text.as_bytes(), b',').next().unwrap().unwrap().width(),
            MOST_CELLS
        );
    }
}
