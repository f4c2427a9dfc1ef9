//! Errors of objectives.

/// The result of computing an objective.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The head or the bound refused its input.
    #[error(transparent)]
    Estimator(#[from] tcmax_estimators::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A method was asked for by a name that none has.
    #[error("there is no method '{name}'; choose one of: {}", crate::Objective::names().join(", "))]
    UnknownMethod {
        /// The name given.
        name: String,
    },
}
