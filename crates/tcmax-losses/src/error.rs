//! Errors of methods.

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
    /// Members cannot exchange what a step needs.
    #[error(transparent)]
    Parallel(#[from] tcmax_parallel::Error),
    /// What shows a method the data failed.
    #[error(transparent)]
    EpochContext(Box<dyn std::error::Error + Send + Sync>),
    /// A loss is not finite.
    #[error("the loss is {value}; lower the learning rate")]
    NotFinite {
        /// The loss.
        value: f64,
    },
    /// A method for two modalities was given another number.
    #[error(
        "method '{method}' is defined for two modalities, and there are {got}; choose two of them, or \
         another method"
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
    /// A method is defined for the head it comes with, and was given another.
    #[error("method '{method}' is defined for the head '{usual}' only; it was given '{head}'")]
    NeedsItsHead {
        /// The method.
        method: &'static str,
        /// The head it comes with.
        usual: &'static str,
        /// The head given.
        head: &'static str,
    },
    /// A method that joins encoders between their stages was given one that has none, or too few.
    #[error(
        "method '{method}' joins the encoders between their stages, and {what} has none: it needs ResNets, such as \
         resnet-slim or resnet18"
    )]
    NeedsStages {
        /// The method.
        method: &'static str,
        /// The encoder.
        what: String,
    },
    /// A method needs logits that are products of features and class vectors.
    #[error("method '{method}' needs a head that is linear in the features, such as concat")]
    NotLinear {
        /// The method.
        method: &'static str,
    },
    /// A method is not defined for what is to be predicted.
    #[error("method '{method}' is not defined for the task '{task}': {why}; use 'joint'")]
    NotForTask {
        /// The method.
        method: &'static str,
        /// What is to be predicted.
        task: tcmax_registry::Task,
        /// Why not.
        why: &'static str,
    },
    /// A method was given other targets than classes.
    #[error("the method trains on classes, and was given the task '{task}'")]
    NeedsClasses {
        /// What it was given.
        task: tcmax_registry::Task,
    },
    /// Targets are not what they have to be.
    #[error("targets: {problem}")]
    BadTargets {
        /// What is wrong, with the row and column.
        problem: String,
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
    /// A method that has a teacher is given a step without what it says.
    #[error(
        "method '{method}' trains its student, and the step does not bring what the teacher says"
    )]
    NoTeacher {
        /// The method.
        method: &'static str,
    },
    /// A checkpoint lacks an entry of a method's state.
    #[error("the method's state has no '{name}'; it is of another method")]
    MissingState {
        /// The entry.
        name: String,
    },
    /// A checkpoint has state that the method does not know.
    #[error("the method has no state '{name}'; it is of another method")]
    UnknownState {
        /// The entry.
        name: String,
    },
    /// An entry of a method's state has the wrong size.
    #[error("the method's state '{name}' has {got} numbers, and {wanted} are needed")]
    WrongState {
        /// The entry.
        name: String,
        /// Numbers found.
        got: usize,
        /// Numbers needed.
        wanted: usize,
    },
    /// There is no such method or option, or its value is out of range.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
}
