//! Errors of fusion heads.

/// The result of building a head.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong when a head is built; using it gives [`tcmax_estimators::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter could not be made.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
    /// There is nothing to fuse.
    #[error("a fusion head needs at least one modality; got an empty list of feature widths")]
    NoModality,
    /// A width is zero.
    #[error("modality {modality} has no features (width 0)")]
    NoFeatures {
        /// Its index, from 0.
        modality: usize,
    },
    /// Too few classes.
    #[error("a classifier needs at least 2 classes; got {classes}")]
    TooFewClasses {
        /// The number given.
        classes: usize,
    },
    /// A head was asked for by a name that none has.
    #[error("there is no fusion head '{name}'; choose one of: {}", crate::HeadKind::names().join(", "))]
    UnknownHead {
        /// The name given.
        name: String,
    },
}
