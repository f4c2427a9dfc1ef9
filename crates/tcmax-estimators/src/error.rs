//! Errors of estimators: what was given, what was wanted, and the fix.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Members cannot exchange what a bound needs.
    #[error(transparent)]
    Parallel(#[from] tcmax_parallel::Error),
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
    /// A label is not the number of a class.
    #[error("row {row}: the label {value} is no class; with {classes} classes labels are whole numbers from 0 to {}", classes.saturating_sub(1))]
    NotALabel {
        /// The first offending row, from 0.
        row: usize,
        /// What was found there.
        value: String,
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
    #[error("there is no variable {index}; there are {count} variables, numbered from 0")]
    NoSuchVariable {
        /// The index given.
        index: usize,
        /// How many variables there are.
        count: usize,
    },
    /// Parameters could not be built.
    #[error(transparent)]
    Ops(#[from] tcmax_ops::Error),
    /// There are not enough examples.
    #[error("{got} examples are too few for {purpose}; at least {wanted} are needed")]
    TooFewSamples {
        /// How many there are.
        got: usize,
        /// How many are needed.
        wanted: usize,
        /// For what.
        purpose: &'static str,
    },
    /// A setting is out of range.
    #[error("{field}: {problem}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A value is not finite.
    #[error(
        "variable '{variable}', row {row}, column {column}: the value is {value}; fix or remove the row"
    )]
    NotFinite {
        /// The variable's name.
        variable: String,
        /// The row, from 0.
        row: usize,
        /// The column within the variable, from 0.
        column: usize,
        /// The value found there.
        value: f64,
    },
    /// A column never changes.
    #[error(
        "variable '{variable}', column {column}: every value is {value}; a constant shares no information, leave it out"
    )]
    ConstantColumn {
        /// The variable's name.
        variable: String,
        /// The column within the variable, from 0.
        column: usize,
        /// The value of every row.
        value: f64,
    },
    /// Variables have different numbers of rows.
    #[error(
        "variable '{variable}' has {got} rows, but '{first}' has {wanted}; rows belong together, so all need as many"
    )]
    UnequalLengths {
        /// The variable's name.
        variable: String,
        /// Its rows.
        got: usize,
        /// The first variable's name.
        first: String,
        /// The first variable's rows.
        wanted: usize,
    },
    /// An estimator for two variables was given another number.
    #[error(
        "{estimator} is defined for two variables, and {got} were given; use tcne, or estimate pairs"
    )]
    NeedsTwoVariables {
        /// The estimator.
        estimator: &'static str,
        /// The number of variables given.
        got: usize,
    },
    /// Classes are so rare that what they share cannot be told from chance.
    #[error(
        "{classes} different combinations of classes in {rows} rows are too many: chance alone makes \
         them look as if they shared {percent:.0} % of all they could; merge classes, or leave the \
         variable out"
    )]
    RareClasses {
        /// The number of rows.
        rows: usize,
        /// How many different combinations of classes they hold.
        classes: usize,
        /// What chance alone shows of the most that could be shown, in percent.
        percent: f64,
    },
    /// An estimator of classes was given numbers.
    #[error(
        "variable '{variable}', column {column}: these are numbers, and only classes can be counted; read it \
         as classes, or use ksg"
    )]
    NotClasses {
        /// The variable's name.
        variable: String,
        /// The column within the variable, from 0.
        column: usize,
    },
    /// A matrix is not a covariance.
    #[error("not a covariance matrix: {reason}")]
    NotACovariance {
        /// What is wrong.
        reason: String,
    },
    /// An option does not exist or is out of range.
    #[error(transparent)]
    Registry(#[from] tcmax_registry::Error),
    /// Training left the finite numbers.
    #[error("step {step}: the objective is {value}; lower the learning rate")]
    NotFiniteObjective {
        /// The step, from 1.
        step: usize,
        /// The objective.
        value: f64,
    },
}
