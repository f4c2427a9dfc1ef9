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
    /// A head for two modalities was given another number.
    #[error(
        "the head '{head}' is defined for two modalities, and there are {got}; choose two \
         modalities, or an additive head, such as concat"
    )]
    NeedsTwoModalities {
        /// The head.
        head: &'static str,
        /// The number of modalities.
        got: usize,
    },
    /// A head needs features of one width.
    #[error("the head '{head}' needs features of one width; got widths {widths:?}, use 'sum'")]
    UnequalWidths {
        /// The head.
        head: &'static str,
        /// The widths of the modalities.
        widths: Vec<usize>,
    },
    /// There is no such head or option, or its value is out of range.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
}
