//! Errors of estimators: what was given, what was wanted, and the mend.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A label is not a class.
    #[error("row {row}: label {label} is out of range; with {classes} classes labels are 0 to {}", classes - 1)]
    LabelOutOfRange {
        /// The first offending row, from 0.
        row: usize,
        /// The label found there.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// There is nothing to estimate from.
    #[error("{what} is empty; at least one {unit} is needed")]
    Empty {
        /// What is empty.
        what: &'static str,
        /// What it should hold.
        unit: &'static str,
    },
    /// Tensors do not fit together.
    #[error("{what}: got shape {got:?}, wanted {wanted}")]
    WrongShape {
        /// Which tensor.
        what: String,
        /// Its dimensions.
        got: Vec<usize>,
        /// The dimensions wanted, in words.
        wanted: String,
    },
    /// A table of probabilities is not a distribution.
    #[error("the table is not a distribution: {reason}")]
    NotADistribution {
        /// What is wrong.
        reason: String,
    },
    /// A variable index does not exist.
    #[error("there is no variable {index}; the table has {count} variables, numbered from 0")]
    NoSuchVariable {
        /// The index given.
        index: usize,
        /// How many variables there are.
        count: usize,
    },
    /// The critic does not fall apart into one term a variable.
    #[error("this critic is not a sum of one term a variable, which the factorised bound needs")]
    NotAdditive,
}
