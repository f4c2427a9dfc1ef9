//! The blend of TCMax's bound and the log-likelihood, with gradients, on arrays in place.

use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use tcmax_ops::{BlendedSlices, blended_log_likelihood_of_slices};

use crate::errors::wrong;

/// The value, the mean score of the labels, the log sum over all tuples, and the gradients.
type Blended<'py, T> = (f64, f64, f64, Vec<Bound<'py, PyArray1<T>>>);

/// See `tcmax_ops::blended_log_likelihood_of_slices`: of terms (B, C) in double precision, row by row.
#[pyfunction]
pub(crate) fn blended_f64<'py>(
    py: Python<'py>,
    terms: Vec<PyReadonlyArray2<'py, f64>>,
    labels: PyReadonlyArray1<'py, i64>,
    weight: f64,
    with_gradients: bool,
) -> PyResult<Blended<'py, f64>> {
    blended(py, &terms, &labels, |terms, labels, columns| {
        blended_log_likelihood_of_slices(terms, labels, columns, weight, with_gradients)
    })
}

/// As `blended_f64`, in single precision.
#[pyfunction]
pub(crate) fn blended_f32<'py>(
    py: Python<'py>,
    terms: Vec<PyReadonlyArray2<'py, f32>>,
    labels: PyReadonlyArray1<'py, i64>,
    weight: f64,
    with_gradients: bool,
) -> PyResult<Blended<'py, f32>> {
    blended(py, &terms, &labels, |terms, labels, columns| {
        blended_log_likelihood_of_slices(terms, labels, columns, weight, with_gradients)
    })
}

fn blended<'py, T: Element>(
    py: Python<'py>,
    terms: &[PyReadonlyArray2<'py, T>],
    labels: &PyReadonlyArray1<'py, i64>,
    compute: impl FnOnce(&[&[T]], &[u32], usize) -> candle_core::Result<BlendedSlices<T>> + Send,
) -> PyResult<Blended<'py, T>> {
    let columns = terms.first().map_or(0, |term| term.as_array().ncols());
    let slices = terms.iter().map(PyReadonlyArray2::as_slice).collect::<Result<Vec<_>, _>>()?;
    let labels = labels.as_array();
    let mut classes = Vec::with_capacity(labels.len());
    for (row, &label) in labels.iter().enumerate() {
        match u32::try_from(label) {
            Ok(class) if (class as usize) < columns => classes.push(class),
            _ => {
                return Err(wrong(format!(
                    "row {row}: label {label} is out of range; with {columns} classes labels are 0 to {}",
                    columns.saturating_sub(1)
                )));
            }
        }
    }
    let found = py.detach(|| compute(&slices, &classes, columns)).map_err(wrong)?;
    let gradients = found.gradients.into_iter().map(|values| values.into_pyarray(py)).collect();
    Ok((found.value, found.own, found.log_sum, gradients))
}
