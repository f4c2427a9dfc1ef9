//! Train, validation and test, and how people write them.

use serde::{Deserialize, Serialize};

/// A split of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What is learned from.
    Train,
    /// What the epoch to keep is chosen on.
    Validation,
    /// What is tested on, once.
    Test,
}

impl Split {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Reads a word or number as people write them: `train`, `val`, `validation`, `dev`, `test`, or
    /// 0, 1, 2 in this order. Numbers of a whole column must be checked together: 0 and 1 alone may
    /// mean train and test.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_lowercase().as_str() {
            "train" | "training" | "0" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" | "1" => Some(Self::Validation),
            "test" | "testing" | "2" => Some(Self::Test),
            _ => None,
        }
    }

    /// Examples of train, validation and test.
    pub(crate) fn count(splits: &[Self]) -> [usize; 3] {
        Self::ALL.map(|wanted| splits.iter().filter(|&&split| split == wanted).count())
    }
}

/// What is wrong with a split cell that [`Split::parse`] does not know.
pub(crate) fn wrong_split(cell: &str) -> String {
    if cell.trim().is_empty() {
        return "the split is empty; write train, val or test for every row, or remove the column"
            .to_owned();
    }
    format!("'{cell}' is not train, val or test (or 0, 1, 2)")
}

/// What is wrong with the distinct cells of a split of numbers: 0, 1 and 2 are train, validation and
/// test, but people also write 0 and 1, or 1 and 2, for train and test.
pub(crate) fn ambiguous_numbers<'a>(cells: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut cells: Vec<&str> = cells.into_iter().map(str::trim).collect();
    cells.sort_unstable();
    cells.dedup();
    let numbers = !cells.is_empty() && cells.iter().all(|cell| ["0", "1", "2"].contains(cell));
    (numbers && !(cells.contains(&"0") && cells.contains(&"2"))).then(|| {
        format!(
            "the numbers {} alone are ambiguous: 0 is train, 1 validation and 2 test; write train, val \
             and test",
            cells.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_splits_only_where_they_are_clear() {
        let message = |cells: &[&str]| ambiguous_numbers(cells.iter().copied());
        assert_eq!(
            message(&["0", "1", "2"]).or(message(&["2", "0"])).or(message(&["train", "1"])),
            None
        );
        for cells in [&["0", "1"][..], &["1", "2"], &["1"]] {
            assert!(message(cells).unwrap().contains("ambiguous"), "{cells:?}");
        }
    }
}
