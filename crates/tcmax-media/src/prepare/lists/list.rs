//! A published list of clips, and what several have in common that they should not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tcmax_data::file;

use super::formats::{ListFormat, Listed, parse_list};
use crate::error::{Error, Result};

/// A list and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The file.
    pub path: PathBuf,
    /// Its clips, in order.
    pub entries: Vec<Listed>,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    /// When the file cannot be read or has no clips, and every line that is not one of such a list.
    pub fn read(format: ListFormat, path: &Path) -> Result<Self> {
        let bytes = file::read(path, "this is the list of clips of the data set")?;
        let entries = parse_list(format, path, &bytes)?;
        match entries.is_empty() {
            true => Err(Error::media(path, "there is no clip in it")),
            false => Ok(Self { path: path.to_owned(), entries }),
        }
    }
}

/// What lists have in common that they should not, in words: ids that are in several lists or twice
/// in one, and groups (of `group_of`) in both train and test.
pub fn overlaps(lists: &[List], group_of: impl Fn(&str) -> String) -> Vec<String> {
    let mut notes = Vec::new();
    let ids = |list: &List| -> BTreeSet<String> {
        list.entries.iter().map(|entry| entry.id.clone()).collect()
    };
    let groups = |list: &List| -> BTreeSet<String> {
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
                |list: &List| list.entries.iter().any(|entry| group_of(&entry.id) != entry.id);
            if !shared.is_empty() && has_groups(first) {
                let both = format!("{} and {}", name(first), name(second));
                notes.push(format!("{both} share {}", some(&shared, "group")));
            }
        }
    }
    notes
}

fn name(list: &List) -> String {
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

    #[test]
    fn overlaps_are_reported() {
        let listed = |id: &&str| Listed {
            id: (*id).to_owned(),
            label: "x".to_owned(),
            split: None,
            text: None,
            line: 1,
        };
        let list = |name: &str, ids: &[&str]| List {
            path: name.into(),
            entries: ids.iter().map(listed).collect(),
        };
        let train = list("train.csv", &["1_a", "2_a", "2_a"]);
        let test = list("test.csv", &["1_a", "2_b"]);
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
