//! Errors of metrics: what was given, where, and what was wanted.

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. Rows, classes and labels are counted from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is nothing to measure.
    #[error("{what} is empty; at least one {unit} is needed")]
    Empty {
        /// What is empty.
        what: &'static str,
        /// What it should hold.
        unit: &'static str,
    },
    /// Two slices do not belong together.
    #[error("{what}: got {got} values, wanted {wanted} ({why})")]
    WrongLength {
        /// Which slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length wanted.
        wanted: usize,
        /// Where that length comes from.
        why: String,
    },
    /// A value is NaN, or infinite where it must not be.
    #[error("row {row}, column {column}: the {what} is {value}; wanted {wanted}")]
    BadValue {
        /// What the values are.
        what: &'static str,
        /// The first offending row.
        row: usize,
        /// The class, label or output, within the row.
        column: usize,
        /// What was found there.
        value: f64,
        /// What may be there.
        wanted: &'static str,
    },
    /// No class of a row is possible.
    #[error("row {row}: every logit is -inf, which leaves no class to predict")]
    NoClass {
        /// The first such row.
        row: usize,
    },
    /// The probabilities of a row do not sum to 1.
    #[error(
        "row {row}: the probabilities sum to {sum}, not to 1; logits go to a function of their own"
    )]
    NotADistribution {
        /// The first such row.
        row: usize,
        /// Their sum.
        sum: f64,
    },
    /// A label is not a class.
    #[error("row {row}: label {label} is out of range; with {classes} classes labels are 0 to {}", classes.saturating_sub(1))]
    LabelOutOfRange {
        /// The first offending row.
        row: usize,
        /// The label found there.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A parameter has a value that it must not have.
    #[error("{name} is {value}; it must be {wanted}")]
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        wanted: &'static str,
    },
}

/// Refuses a slice of another length than `wanted`.
pub(crate) fn require_length(
    what: &'static str,
    got: usize,
    wanted: usize,
    why: impl FnOnce() -> String,
) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    Err(Error::WrongLength { what, got, wanted, why: why() })
}

/// Refuses a slice that is not rows of `columns` values each.
pub(crate) fn require_rows(
    what: &'static str,
    got: usize,
    rows: usize,
    columns: usize,
) -> Result<()> {
    let wanted = rows.saturating_mul(columns);
    require_length(what, got, wanted, || format!("{rows} rows of {columns}"))
}

/// Refuses labels that are not below `classes`.
pub(crate) fn require_classes(labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(row) => Err(Error::LabelOutOfRange { row, label: labels[row], classes }),
        None => Ok(()),
    }
}

/// Refuses values (rows of `columns`) that are not finite.
pub(crate) fn require_finite(what: &'static str, values: &[f64], columns: usize) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::BadValue {
            what,
            row: index / columns.max(1),
            column: index % columns.max(1),
            value: values[index],
            wanted: "a finite number",
        }),
        None => Ok(()),
    }
}
