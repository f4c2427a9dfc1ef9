//! Errors of methods.

use tcmax_fusion::HeadKind;

/// The result of training by a method.
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
    /// The optimiser or backpropagation failed.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
    /// What shows a method the data failed.
    #[error(transparent)]
    Survey(Box<dyn std::error::Error + Send + Sync>),
    /// A loss is not finite.
    #[error("the loss is {value}; lower the learning rate")]
    NotFinite {
        /// The loss.
        value: f64,
    },
    /// An option is out of range.
    #[error("{field}: {problem}")]
    Option {
        /// The option, as in configuration files.
        field: &'static str,
        /// What would be right.
        problem: String,
    },
    /// A method for two modalities was given another number.
    #[error(
        "method '{method}' is defined for two modalities, and there are {got}; choose two with \
         --modalities, or another method (`tcmax methods` lists them)"
    )]
    NeedsTwoModalities {
        /// The method.
        method: &'static str,
        /// The number of modalities.
        got: usize,
    },
    /// A method that balances modalities was given one.
    #[error("method '{method}' balances modalities, and there is {got}; use 'joint'")]
    NeedsSeveralModalities {
        /// The method.
        method: &'static str,
        /// The number of modalities.
        got: usize,
    },
    /// A method needs one layer for all modalities.
    #[error(
        "method '{method}' trains one layer for all modalities; use --head shared instead of '{head}'"
    )]
    NeedsSharedHead {
        /// The method.
        method: &'static str,
        /// The head given.
        head: HeadKind,
    },
    /// A method needs logits that are products of features and class vectors.
    #[error(
        "method '{method}' needs a head that is linear in the features: one of concat, sum, shared, \
         clip, specific"
    )]
    NotLinear {
        /// The method.
        method: &'static str,
    },
    /// A method needs features of one width.
    #[error(
        "method '{method}' needs features of one width from every modality, and they have {widths:?}"
    )]
    UnequalWidths {
        /// The method.
        method: &'static str,
        /// Widths of the modalities.
        widths: Vec<usize>,
    },
    /// The head's weight has no gradient to change.
    #[error(
        "method '{method}' finds no gradient of the head's weight for modality {modality}: the head's \
         class_vectors() must be the parameter that its logits are computed with, not a copy"
    )]
    NoHeadGradient {
        /// The method.
        method: &'static str,
        /// The modality, from 0.
        modality: usize,
    },
    /// Two lists that must be equally long are not.
    #[error("{what}: {got} entries, and {wanted} are needed")]
    WrongLength {
        /// The list.
        what: &'static str,
        /// Entries found.
        got: usize,
        /// Entries needed.
        wanted: usize,
    },
    /// A class has no prototype.
    #[error("class {class} has no training example to make a prototype of; remove the class")]
    NoPrototype {
        /// The class.
        class: usize,
    },
    /// A row is not among the training examples.
    #[error("there is no training example {row}; there are {examples}, numbered from 0")]
    NoSuchExample {
        /// The row given.
        row: usize,
        /// Training examples.
        examples: usize,
    },
    /// A checkpoint lacks a part of a method's state.
    #[error("the method's state has no '{name}'; it is of another method")]
    MissingState {
        /// The part.
        name: String,
    },
    /// A checkpoint has state that the method does not know.
    #[error("the method has no state '{name}'; it is of another method")]
    UnknownState {
        /// The part.
        name: String,
    },
    /// A part of a method's state has the wrong size.
    #[error("the method's state '{name}' has {got} numbers, and {wanted} are needed")]
    WrongState {
        /// The part.
        name: String,
        /// Numbers found.
        got: usize,
        /// Numbers needed.
        wanted: usize,
    },
    /// A method was asked for by a name that none has.
    #[error("there is no method '{name}'; choose one of: {}", crate::MethodKind::names().join(", "))]
    UnknownMethod {
        /// The name given.
        name: String,
    },
}

impl Error {
    pub(crate) fn option(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Option { field, problem: problem.into() }
    }
}
