//! Errors of the operations and of parameter stores.

use candle_core::Shape;

/// The result of everything in this crate that is not a candle operation itself.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with parameters and checks on tensors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Two parameters or buffers were given one name.
    #[error("the name '{name}' is taken by another parameter or buffer")]
    DuplicateName {
        /// The full dotted name.
        name: String,
    },
    /// A state to load lacks a tensor.
    #[error("the state has no tensor '{name}' (shape {shape:?}); was it saved by another model?")]
    MissingTensor {
        /// The full dotted name.
        name: String,
        /// The shape the model needs.
        shape: Shape,
    },
    /// A state to load has a tensor that the model does not know.
    #[error("the state has a tensor '{name}' that this model does not have")]
    UnknownTensor {
        /// The full dotted name.
        name: String,
    },
    /// A state to load has a tensor of another shape.
    #[error("tensor '{name}': the state has shape {got:?}, the model needs {wanted:?}")]
    WrongShape {
        /// The full dotted name.
        name: String,
        /// The shape in the state.
        got: Shape,
        /// The shape in the model.
        wanted: Shape,
    },
    /// A state of an optimiser has a number of steps that is none.
    #[error("'steps': the state has {got}, wanted a whole number of steps from 0")]
    WrongSteps {
        /// The number in the state.
        got: f64,
    },
    /// A parameter is too large for memory.
    #[error("a parameter of shape {shape:?} does not fit into memory")]
    TooLarge {
        /// The shape asked for.
        shape: Shape,
    },
    /// A parameter or buffer is larger than there is room for.
    #[error("'{name}' of shape {shape:?} would make the model larger than {limit} numbers")]
    OverLimit {
        /// The full dotted name.
        name: String,
        /// Its shape.
        shape: Shape,
        /// Most numbers of all parameters and buffers together.
        limit: usize,
    },
}
