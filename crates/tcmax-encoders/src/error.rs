//! Errors of encoders.

/// The result of building or running an encoder.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A parameter could not be made.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
    /// There is no such encoder or option, or its value is out of range.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
    /// The input has another shape.
    #[error("{encoder}: got input of shape {got:?}, wanted {wanted}")]
    WrongShape {
        /// Which encoder.
        encoder: &'static str,
        /// The input's dimensions.
        got: Vec<usize>,
        /// The dimensions wanted, in words.
        wanted: String,
    },
    /// The heads of a transformer do not divide its width.
    #[error("{encoder}: {heads} heads do not divide a width of {width}")]
    Heads {
        /// Which encoder.
        encoder: &'static str,
        /// Features of a token.
        width: usize,
        /// Heads.
        heads: usize,
    },
    /// An entry of a configuration file that lies beside weights is not of the kind it should be.
    #[error("the configuration's '{entry}' is no number, text or truth value")]
    Config {
        /// The entry.
        entry: String,
    },
    /// A width, depth or channel count is zero.
    #[error("{encoder}: {field} must be at least 1")]
    Zero {
        /// Which encoder.
        encoder: &'static str,
        /// Which setting.
        field: &'static str,
    },
}
