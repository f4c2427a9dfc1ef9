//! Published split lists: `id,label` lines, read as they are.
//!
//! With or without a byte order mark, a header, carriage returns, quotes. Order is kept: the paper's
//! recipes take the last fifth of a train list for validation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::csv_records::Records;
use crate::own::partition::Part;
use crate::{Error, Place, Problems, Result};

/// First cells that make a line a header.
const HEADERS: [&str; 8] =
    ["youtube_id", "idx", "id", "name", "video", "video_id", "file", "filename"];

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The clip.
    pub id: String,
    /// Its class.
    pub label: String,
    /// Its line in the file, from 1.
    pub line: u64,
}

/// A list with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitList {
    /// The file.
    pub path: PathBuf,
    /// Its part.
    pub part: Part,
    /// Its lines, in order.
    pub entries: Vec<Entry>,
}

impl SplitList {
    /// Reads a list.
    ///
    /// # Errors
    /// When the file cannot be read, and every line that is not `id,label`.
    pub fn read(path: &Path, part: Part) -> Result<Self> {
        let bytes = crate::own::media_file::read(path, "the split list of the data set")?;
        let mut problems = Problems::new();
        let entries = parse(path, &bytes, &mut problems);
        problems.into_result()?;
        if entries.is_empty() {
            return Err(Error::bad_file(path, "there is no line in it"));
        }
        Ok(Self { path: path.to_owned(), part, entries })
    }
}

/// The entries of a list's bytes; lines that are not `id,label` go to `problems`, under the name of
/// `path`.
pub fn parse(path: &Path, bytes: &[u8], problems: &mut Problems) -> Vec<Entry> {
    let mut records = Records::new(bytes, b',');
    let mut entries = Vec::new();
    let mut first = true;
    while let Some(record) = records.next() {
        let first = std::mem::take(&mut first);
        let record = match record {
            Ok(record) => record,
            Err((line, error)) => {
                problems.add(path, Place::Line(line), "", error);
                break;
            }
        };
        let place = Place::Line(record.line);
        let cells: Vec<&str> =
            record.cells().take(3).filter_map(|cell| std::str::from_utf8(cell).ok()).collect();
        match cells[..] {
            [id, _] if first && HEADERS.contains(&id.to_lowercase().as_str()) => {}
            [id, label] if record.len() == 2 && !id.is_empty() && !label.is_empty() => {
                let (id, label, line) = (id.to_owned(), label.to_owned(), record.line);
                entries.push(Entry { id, label, line });
            }
            _ if cells.len() < record.len().min(3) => {
                problems.add(path, place, "", "not UTF-8 text; save it as UTF-8");
            }
            _ => {
                let what = format!("{} cells, wanted an id and a label", record.len());
                problems.add(path, place, "", what);
            }
        }
    }
    entries
}

/// What lists have in common that they should not, in words: ids that are in several lists or twice
/// in one, and groups (of `group_of`) in both train and test.
pub fn overlaps(lists: &[SplitList], group_of: impl Fn(&str) -> String) -> Vec<String> {
    let mut notes = Vec::new();
    let ids = |list: &SplitList| -> BTreeSet<String> {
        list.entries.iter().map(|entry| entry.id.clone()).collect()
    };
    let groups = |list: &SplitList| -> BTreeSet<String> {
        list.entries.iter().map(|entry| group_of(&entry.id)).collect()
    };
    for (n, first) in lists.iter().enumerate() {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        first.entries.iter().for_each(|entry| *seen.entry(&entry.id).or_default() += 1);
        let twice: Vec<&str> = seen.iter().filter(|(_, n)| **n > 1).map(|(id, _)| *id).collect();
        if !twice.is_empty() {
            notes.push(format!("{} has {}", name(first), some(&twice, "id more than once")));
        }
        for second in &lists[n + 1..] {
            let (a, b) = (ids(first), ids(second));
            let common: Vec<&str> = a.intersection(&b).map(String::as_str).collect();
            if !common.is_empty() {
                let both = format!("{} and {}", name(first), name(second));
                notes.push(format!("{both} share {}", some(&common, "id")));
            }
            let (a, b) = (groups(first), groups(second));
            let shared: Vec<&str> = a.intersection(&b).map(String::as_str).collect();
            let has_groups =
                |list: &SplitList| list.entries.iter().any(|entry| group_of(&entry.id) != entry.id);
            if !shared.is_empty() && has_groups(first) {
                let both = format!("{} and {}", name(first), name(second));
                notes.push(format!("{both} share {}", some(&shared, "group")));
            }
        }
    }
    notes
}

fn name(list: &SplitList) -> String {
    list.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// "8 ids (a, b, c, ...)".
fn some(items: &[&str], what: &str) -> String {
    let plural = if items.len() == 1 || what.contains(' ') { "" } else { "s" };
    let shown = items.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    let more = if items.len() > 3 { ", ..." } else { "" };
    format!("{} {what}{plural} ({shown}{more})", items.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<(String, String)>, Problems) {
        let mut problems = Problems::new();
        let entries = parse(Path::new("x.csv"), bytes, &mut problems);
        (entries.into_iter().map(|entry| (entry.id, entry.label)).collect(), problems)
    }

    #[test]
    fn marks_headers_and_line_ends_do_not_matter() {
        let wanted = vec![("a_1".to_owned(), "x, y".to_owned()), ("-b".to_owned(), "z".to_owned())];
        for text in [
            "a_1,\"x, y\"\n-b,z\n",
            "\u{feff}a_1,\"x, y\"\r\n-b,z",
            "\u{feff}youtube_id,label\r\na_1,\"x, y\"\r\n-b,z\r\n",
            "idx,label\na_1,\"x, y\"\n\n-b,z\n",
        ] {
            let (entries, problems) = read(text.as_bytes());
            assert_eq!(entries, wanted, "{text:?}");
            assert!(problems.is_empty());
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let (entries, problems) = read(b"a,x\nb\nc,\xff\n,y\nd,e,f\n");
        assert_eq!(entries.len(), 1);
        let places: Vec<_> = problems.list().iter().map(|problem| problem.place.clone()).collect();
        assert_eq!(places, [Place::Line(2), Place::Line(3), Place::Line(4), Place::Line(5)]);
    }

    #[test]
    fn overlaps_are_told() {
        let list = |part, name: &str, ids: &[&str]| SplitList {
            path: name.into(),
            part,
            entries: ids
                .iter()
                .map(|id| Entry { id: (*id).into(), label: "x".into(), line: 1 })
                .collect(),
        };
        let train = list(Part::Train, "train.csv", &["1_a", "2_a", "2_a"]);
        let test = list(Part::Test, "test.csv", &["1_a", "2_b"]);
        let notes = overlaps(&[train, test], |id| id[..1].to_owned());
        assert_eq!(
            notes,
            [
                "train.csv has 1 id more than once (2_a)",
                "train.csv and test.csv share 1 id (1_a)",
                "train.csv and test.csv share 2 groups (1, 2)",
            ]
        );
    }
}
