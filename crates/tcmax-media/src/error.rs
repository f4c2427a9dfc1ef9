//! Errors of media and their preparation.

use std::path::{Path, PathBuf};

use tcmax_data::Problems;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A media file cannot be used.
    #[error("{}: {problem}", path.display())]
    Media {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        problem: String,
    },
    /// The `ffmpeg` program is needed (for video, or a sound format that is not decoded here) and
    /// cannot be run. It concerns the machine, not single files.
    #[error(
        "`{program}` cannot be run ({reason}); it decodes video and rarer formats of sound: install \
         it, for instance with `apt-get install ffmpeg`"
    )]
    NoFfmpeg {
        /// `ffmpeg` or `ffprobe`, which comes with it.
        program: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// An option or recipe is out of range or does not fit.
    #[error("{field}: {problem}")]
    Option {
        /// The option, or the part of a recipe.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Lists, manifests or shards could not be read or written.
    #[error(transparent)]
    Data(#[from] tcmax_data::Error),
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Self::Data(problems.into())
    }
}

impl Error {
    pub(crate) fn media(path: &Path, problem: impl Into<String>) -> Self {
        Self::Media { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn option(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Option { field: field.into(), problem: problem.into() }
    }

    /// What is wrong, without the file.
    pub fn problem(&self) -> String {
        match self {
            Self::Media { problem, .. } => problem.clone(),
            other => other.to_string(),
        }
    }
}
