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
    /// Two parameters or buffers have the same name.
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
    /// The number of steps in an optimiser's state is not a whole number from 0.
    #[error("'steps': the state has {got}, wanted a whole number of steps from 0")]
    WrongSteps {
        /// The number in the state.
        got: f64,
    },
    /// An option of an optimiser or an average does not exist or is out of range.
    #[error(transparent)]
    Options(#[from] tcmax_registry::Error),
    /// Tasks are to be measured by several threads.
    #[error(
        "tasks are measured on the one thread of a pool, this is {}: call inside `install` of \
         rayon::ThreadPoolBuilder::new().num_threads(1)",
        if *of_pool { format!("one of {threads} threads") } else { "a thread of no pool".to_owned() }
    )]
    Threads {
        /// Whether the caller is a thread of a pool.
        of_pool: bool,
        /// Threads of the pool.
        threads: usize,
    },
    /// A group of parameters has none.
    #[error("no parameter's name begins with '{prefix}'; there are: {}", known.join(", "))]
    UnknownGroup {
        /// The beginning looked for.
        prefix: String,
        /// The first parts of the names there are.
        known: Vec<String>,
    },
    /// Two groups of parameters have one prefix.
    #[error("the group of parameters '{prefix}' is set twice")]
    DuplicateGroup {
        /// The prefix.
        prefix: String,
    },
    /// A normalisation of no channels.
    #[error("a batch norm needs at least one channel")]
    NoChannels,
    /// Filters do not fit the norm after them.
    #[error(
        "filters of shape {got:?}, wanted [height, width, in, {channels}] for the norm after them"
    )]
    WrongFilters {
        /// The shape of the filters.
        got: Shape,
        /// The norm's channels.
        channels: usize,
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
        /// The most numbers that all parameters and buffers together may have.
        limit: usize,
    },
}
