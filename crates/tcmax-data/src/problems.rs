//! Everything that is wrong with some data, collected and told at once.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// So many problems are written out; the rest is counted.
const SHOWN: usize = 40;

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of a text file, from 1.
    Line(u64),
    /// A row of an array or table, from 0.
    Row(usize),
}

/// One thing that is wrong, and the mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
    /// The column, array or modality; empty when it is not about one.
    pub field: String,
    /// What is wrong, and the mend.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.place {
            Place::File => {}
            Place::Line(line) => write!(f, ", line {line}")?,
            Place::Row(row) => write!(f, ", row {row}")?,
        }
        if !self.field.is_empty() {
            write!(f, ", '{}'", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A list of problems in the order of files and rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn add(
        &mut self,
        file: &Path,
        place: Place,
        field: impl Into<String>,
        what: impl Into<String>,
    ) {
        let (file, field, what) = (file.to_owned(), field.into(), what.into());
        self.0.push(Problem { file, place, field, what });
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Problem>) {
        self.0.extend(other);
    }

    /// The problems.
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An error that tells them all, if there are any.
    ///
    /// # Errors
    /// When the list is not empty.
    pub fn into_result(mut self) -> Result<()> {
        self.0.sort();
        self.0.dedup();
        if self.0.is_empty() { Ok(()) } else { Err(Error::Problems(self)) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = &self.0[..] {
            return write!(f, "{one}");
        }
        write!(f, "{} problems in the data:", self.0.len())?;
        for problem in self.0.iter().take(SHOWN) {
            write!(f, "\n  {problem}")?;
        }
        let more = self.0.len().saturating_sub(SHOWN);
        if more > 0 { write!(f, "\n  and {more} more") } else { Ok(()) }
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_together_in_order_and_the_rest_is_counted() {
        let mut problems = Problems::new();
        for line in (1..=60).rev() {
            problems.add(Path::new("a.csv"), Place::Line(line), "audio", "does not exist");
        }
        let text = problems.into_result().unwrap_err().to_string();
        assert!(text.starts_with("60 problems in the data:\n  a.csv, line 1, 'audio': does not"));
        assert!(text.ends_with("and 20 more"), "{text}");
        assert_eq!(text.lines().count(), 42);
        assert!(Problems::new().into_result().is_ok());
    }
}
