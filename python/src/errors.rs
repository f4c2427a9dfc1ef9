//! Errors of the crates as Python's exceptions, in the same words.

use pyo3::PyErr;
use pyo3::exceptions::{PyRuntimeError, PyValueError};

pyo3::create_exception!(
    tcmax,
    Error,
    PyValueError,
    "What is wrong with an argument, a file or some data, and what would be right."
);

/// An error of what was given.
pub(crate) fn wrong(error: impl std::fmt::Display) -> PyErr {
    Error::new_err(error.to_string())
}

/// An error of an estimator: a `RuntimeError` where a tensor operation failed, which no argument can be blamed for.
pub(crate) fn of_estimator(error: tcmax_estimators::Error) -> PyErr {
    match error {
        tcmax_estimators::Error::Candle(error) => PyRuntimeError::new_err(error.to_string()),
        error => wrong(error),
    }
}
