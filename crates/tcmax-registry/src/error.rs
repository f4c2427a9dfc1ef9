//! Errors of catalogues and options.

/// The result of finding or setting something by name.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing has the name.
    #[error("there is no {kind} '{name}'; choose one of: {}", names.join(", "))]
    Unknown {
        /// What was looked for, such as "method".
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        names: Vec<&'static str>,
    },
    /// Two specifications have one name.
    #[error("there are two {kind}s called '{name}'; rename one")]
    Duplicate {
        /// What they are, such as "method".
        kind: &'static str,
        /// Their name.
        name: &'static str,
    },
    /// An option does not exist, or its value has the wrong type.
    #[error("{problem}")]
    NoSuchOption {
        /// What is wrong, with the name of the option.
        problem: String,
    },
    /// The value of an option is out of range.
    #[error("{option}: {problem}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What would be right.
        problem: String,
    },
}
