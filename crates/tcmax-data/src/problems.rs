//! Everything that is wrong with some data, collected and reported at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems are written out; the rest are counted.
const SHOWN: usize = 40;
/// How many are kept: a damaged file of a million lines needs no million messages.
const MOST_KEPT: usize = 1_000;

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The file as a whole.
    File,
    /// A line of a text file, from 1.
    Line(u64),
    /// A row of an array or table, from 0.
    Row(usize),
}

/// One thing that is wrong, and the fix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub position: Position,
    /// The column, array or modality; empty when it is not about one.
    pub field: String,
    /// What is wrong, and the fix.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.position {
            Position::File => {}
            Position::Line(line) => write!(f, ", line {line}")?,
            Position::Row(row) => write!(f, ", row {row}")?,
        }
        if !self.field.is_empty() {
            write!(f, ", '{}'", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A list of problems in the order of files and rows; beyond a thousand they are only counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(
        &mut self,
        file: &Path,
        position: Position,
        field: impl Into<String>,
        what: impl Into<String>,
    ) {
        if self.list.len() >= MOST_KEPT {
            self.more += 1;
            return;
        }
        let (file, field, what) = (file.to_owned(), field.into(), what.into());
        self.list.push(Problem { file, position, field, what });
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        let room = MOST_KEPT - self.list.len();
        self.more += other.more + other.list.len().saturating_sub(room);
        self.list.extend(other.list.into_iter().take(room));
    }

    /// How many there are, kept or counted.
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// The problems.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them in order as an error, if there are any.
    ///
    /// # Errors
    /// When the list is not empty.
    pub fn into_result(mut self) -> Result<(), Self> {
        self.list.sort();
        self.list.dedup();
        if self.list.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([one], 0) = (&self.list[..], self.more) {
            return write!(f, "{one}");
        }
        write!(f, "{} problems in the data:", self.count())?;
        for problem in self.list.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        let more = self.count().saturating_sub(SHOWN);
        if more > 0 { write!(f, "\n  and {more} more") } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_reported_together_in_order_and_the_rest_is_counted() {
        let mut problems = Problems::new();
        for line in (1..=60).rev() {
            problems.add(Path::new("a.csv"), Position::Line(line), "audio", "does not exist");
        }
        let text = problems.into_result().unwrap_err().to_string();
        assert!(text.starts_with("60 problems in the data:\n  a.csv, line 1, 'audio': does not"));
        assert!(text.ends_with("and 20 more"), "{text}");
        assert_eq!(text.lines().count(), 42);
        assert!(Problems::new().into_result().is_ok());
    }

    #[test]
    fn more_than_a_thousand_are_only_counted() {
        let mut problems = Problems::new();
        let mut others = Problems::new();
        for line in 0..1_500 {
            problems.add(Path::new("a.csv"), Position::Line(line), "", "odd");
            others.add(Path::new("b.csv"), Position::Line(line), "", "odd");
        }
        problems.extend(others);
        assert_eq!((problems.list().len(), problems.count()), (1_000, 3_000));
        let text = problems.into_result().unwrap_err().to_string();
        assert!(text.starts_with("3000 problems") && text.ends_with("and 2960 more"), "{text}");
    }
}
