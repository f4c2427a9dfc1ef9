//! Errors of graphs.

/// The result of building a graph.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network has no graph.
    #[error("{what} cannot be written as an ONNX graph{}", reason(why))]
    NoGraph {
        /// The network.
        what: String,
        /// Why not; may be empty.
        why: String,
    },
    /// Two inputs, outputs or weights have one name.
    #[error("there is something called '{name}' in the graph already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Bytes are not a graph.
    #[error("not an ONNX model: {0}")]
    NotOnnx(#[from] prost::DecodeError),
    /// A weight is not there.
    #[error("there is no weight '{name}'")]
    NoWeight {
        /// Its name.
        name: String,
    },
    /// A weight could not be read.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::NoGraph`].
    pub fn no_graph(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::NoGraph { what: what.into(), why: why.into() }
    }
}

fn reason(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}
