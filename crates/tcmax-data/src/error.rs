//! Errors of data sets: which file, row or field, what is wrong, and the fix.

use std::path::{Path, PathBuf};

use crate::problems::Problems;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that should be there is not.
    #[error("{} does not exist: {fix}", path.display())]
    Missing {
        /// What is missing.
        path: PathBuf,
        /// What to do.
        fix: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    BadFile {
        /// The file, with the member for archives (`archive.tar.gz!member.wav`).
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// An array or column is not what it is used for.
    #[error("variable '{name}': {problem}")]
    Array {
        /// Its name.
        name: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// An option is out of range or does not fit the data.
    #[error("{field}: {problem}")]
    Option {
        /// The option, as it is called in a configuration file.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// An example holds a value that is not finite.
    #[error(
        "row {row}, modality '{modality}': a value is NaN or infinite; correct or remove the row"
    )]
    NotFinite {
        /// The row, from 0.
        row: usize,
        /// The modality.
        modality: String,
    },
    /// A label is not a class.
    #[error("row {row}: label {label} is out of range; with {classes} classes labels are 0 to {}", classes - 1)]
    LabelOutOfRange {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A loader thread stopped.
    #[error("a loader thread stopped while it read batch {batch}; the message above says why")]
    WorkerStopped {
        /// The batch, from 0.
        batch: usize,
    },
    /// Several things are wrong with the data.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::BadFile`].
    pub fn bad_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_owned(), problem: problem.into() }
    }

    /// An [`Error::Option`].
    pub fn option(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { field, problem: problem.into() }
    }

    /// Attaches the path to a system error, for `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
