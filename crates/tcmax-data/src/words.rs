//! Columns of words, each distinct word stored once.

use std::collections::BTreeMap;

/// A column of words as indices into the distinct ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The distinct words, sorted.
    pub(crate) names: Vec<String>,
    /// The index of each cell's word.
    pub(crate) codes: Vec<u32>,
}

impl Words {
    /// The word of cell `row`.
    pub(crate) fn word(&self, row: usize) -> &str {
        &self.names[self.codes[row] as usize]
    }

    /// The words of all cells.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|row| self.word(row))
    }

    /// Cells.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The column of some words.
    pub(crate) fn of<'a>(cells: impl IntoIterator<Item = &'a str>) -> Self {
        let mut builder = WordsBuilder::default();
        cells.into_iter().for_each(|cell| builder.push(cell));
        builder.finish()
    }
}

/// Collects a column cell by cell.
#[derive(Debug, Default)]
pub(crate) struct WordsBuilder {
    known: BTreeMap<String, u32>,
    codes: Vec<u32>,
}

impl WordsBuilder {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { known: BTreeMap::new(), codes: Vec::with_capacity(rows) }
    }

    pub(crate) fn push(&mut self, cell: &str) {
        let code = match self.known.get(cell) {
            Some(&code) => code,
            None => {
                let code = self.known.len() as u32;
                self.known.insert(cell.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
    }

    /// Distinct words so far.
    pub(crate) fn distinct(&self) -> usize {
        self.known.len()
    }

    /// The column, with words in order.
    pub(crate) fn finish(self) -> Words {
        let mut ranks = vec![0; self.known.len()];
        let mut names = Vec::with_capacity(self.known.len());
        for (rank, (name, code)) in self.known.into_iter().enumerate() {
            ranks[code as usize] = rank as u32;
            names.push(name);
        }
        let mut codes = self.codes;
        codes.iter_mut().for_each(|code| *code = ranks[*code as usize]);
        Words { names, codes }
    }
}

/// Whether a cell is one of the usual ways to say that a value is missing.
pub fn is_missing(cell: &str) -> bool {
    const MARKERS: [&str; 14] = [
        "", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "nil", "missing", "?", "-",
        ".",
    ];
    MARKERS.iter().any(|marker| cell.eq_ignore_ascii_case(marker))
}

/// Of `known` the name most like `word`, if any is alike.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 2).clamp(1, 3);
    let distances = known.into_iter().map(|name| (distance(&lower, &name.to_lowercase()), name));
    distances.filter(|(distance, _)| *distance <= most).min_by_key(|(d, _)| *d).map(|(_, n)| n)
}

/// Insertions, deletions and replacements of characters between two words.
fn distance(a: &str, b: &str) -> usize {
    // Names of columns are shorter than this.
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// "; did you mean 'speaker'? (there are: ...)", for a name that is not among `known`.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let mut text = match nearest(word, known.iter().copied()) {
        Some(name) => format!("; did you mean '{name}'?"),
        None => String::new(),
    };
    let more = if known.len() > 30 { ", ..." } else { "" };
    let shown = known.iter().take(30).copied().collect::<Vec<_>>().join(", ");
    text += &format!(" (there are: {shown}{more})");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_kept_once() {
        let words = Words::of(["b", "a", "b", "c"]);
        assert_eq!((words.names.len(), words.codes.as_slice()), (3, &[1, 0, 1, 2][..]));
        assert_eq!((words.word(2), words.len()), ("b", 4));
    }

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        assert_eq!(nearest("speeker", ["label", "speaker"]), Some("speaker"));
        assert_eq!(nearest("Mood", ["moods", "word"]), Some("moods"));
        assert_eq!(nearest("group", ["label", "face"]), None);
        assert_eq!(
            suggestion("lable", ["label", "x"]),
            "; did you mean 'label'? (there are: label, x)"
        );
    }
}
