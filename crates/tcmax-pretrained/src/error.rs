//! Errors: which file, tensor or address, what is wrong, and the fix.

use std::path::{Path, PathBuf};

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
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// The text that says where weights come from does not name one set of weights.
    #[error("weights '{weights}': {problem}")]
    Source {
        /// The text.
        weights: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A request to the hub failed.
    #[error("{url}: {problem}")]
    Download {
        /// What was asked for.
        url: String,
        /// What went wrong, and what to do.
        problem: String,
    },
    /// Downloaded bytes are not the file's.
    #[error(
        "{file} (from {url}): the checksum of the download is {got}, not {wanted}; nothing of it is kept, \
         try again"
    )]
    Checksum {
        /// The file's name in its repository.
        file: String,
        /// Its address.
        url: String,
        /// The checksum that the hub promises.
        wanted: String,
        /// That of the bytes received.
        got: String,
    },
    /// A tensor cannot be used.
    #[error("tensor '{name}': {problem}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// A tensor of the file has another shape than the parameter it is for.
    #[error("tensor '{name}' has shape {got:?}, parameter '{parameter}' has {wanted:?}; {fix}")]
    WrongShape {
        /// Its name in the file.
        name: String,
        /// The parameter's name.
        parameter: String,
        /// The tensor's shape.
        got: Box<[usize]>,
        /// The parameter's, in PyTorch's layout.
        wanted: Box<[usize]>,
        /// What to do.
        fix: String,
    },
    /// Parameters for which the file has no tensor.
    #[error(
        "the weights have no tensor for {}; choose the encoder that they were made for, or allow these \
         parameters to keep their first values",
        listed(names)
    )]
    MissingTensors {
        /// The parameters' names.
        names: Vec<String>,
    },
    /// Tensors of the file for which there is no parameter.
    #[error(
        "the encoder has no parameter for {} of the weights; choose the encoder that they were made for, \
         or leave these tensors out by name",
        listed(names)
    )]
    UnexpectedTensors {
        /// The tensors' names in the file.
        names: Vec<String>,
    },
    /// Texts cannot be encoded.
    #[error("{}: {problem}", path.display())]
    Text {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// An operation on parameters failed.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
}

impl Error {
    /// Makes an error of a system error, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn bad_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_owned(), problem: problem.into() }
    }
}

/// The first names of a list, quoted, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    if names.len() > SHOWN {
        text.push(format!("{} more", names.len() - SHOWN));
    }
    text.join(", ")
}
