//! Errors of ready data sets: what is wrong, and the fix.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or not what it should be, or an option does not fit.
    #[error(transparent)]
    Data(#[from] tcmax_data::Error),
    /// A recipe is not one.
    #[error(transparent)]
    Media(#[from] tcmax_media::Error),
    /// There is no such data set or option.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
    /// The catalogue lacks a data set.
    #[error("there is no card of the data set '{name}'")]
    NoCard {
        /// Its name.
        name: &'static str,
    },
    /// A class has no example.
    #[error("class '{class}' has no {what}: {fix}")]
    EmptyClass {
        /// The class.
        class: String,
        /// What it lacks.
        what: &'static str,
        /// What to do.
        fix: String,
    },
    /// A download did not succeed.
    #[error("{url}: {problem}")]
    Download {
        /// The address.
        url: String,
        /// What happened, and the fix.
        problem: String,
    },
}

impl Error {
    /// Whether an option is out of range or does not fit, rather than the data.
    pub fn is_option(&self) -> bool {
        matches!(
            self,
            Self::Data(tcmax_data::Error::Option { .. })
                | Self::Media(tcmax_media::Error::Option { .. })
                | Self::Registry(_)
        )
    }
}
