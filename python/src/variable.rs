//! Variables from NumPy arrays.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use tcmax_estimators::{Sample, Variable as OfRust, VariableKind};

use crate::errors::of_estimator;

/// One variable of a sample, checked: N rows of numbers, or a class in each row.
#[pyclass(frozen, module = "tcmax._tcmax")]
pub(crate) struct Variable {
    pub(crate) inner: OfRust,
}

#[pymethods]
impl Variable {
    /// A variable of numbers (N, D), in double precision.
    #[staticmethod]
    fn numbers(name: String, values: PyReadonlyArray2<'_, f64>) -> PyResult<Self> {
        let array = values.as_array();
        Self::of_rows(name, array.iter().copied().collect(), array.ncols())
    }

    /// A variable of numbers (N, D), in single precision.
    #[staticmethod]
    fn numbers_f32(name: String, values: PyReadonlyArray2<'_, f32>) -> PyResult<Self> {
        let array = values.as_array();
        Self::of_rows(name, array.iter().map(|&value| f64::from(value)).collect(), array.ncols())
    }

    /// A variable of classes (N,): any numbers, equal ones being one class.
    #[staticmethod]
    fn classes(name: String, codes: PyReadonlyArray1<'_, f64>) -> PyResult<Self> {
        let codes: Vec<f64> = codes.as_array().iter().copied().collect();
        let inner = OfRust::categorical(name, &codes).map_err(of_estimator)?;
        Ok(Self { inner })
    }

    /// Several variables side by side as one, called `name`; classes become a column for each.
    #[staticmethod]
    fn joined(name: String, parts: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let members: Vec<OfRust> = parts.iter().map(|part| part.inner.clone()).collect();
        let all: Vec<usize> = (0..members.len()).collect();
        let sample = Sample::new(members).map_err(of_estimator)?;
        let inner = sample.group(&all).map_err(of_estimator)?.renamed(name);
        Ok(Self { inner })
    }

    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Rows.
    #[getter]
    fn rows(&self) -> usize {
        self.inner.len()
    }

    /// Columns.
    #[getter]
    fn columns(&self) -> usize {
        self.inner.width()
    }

    /// "numbers" or "classes".
    #[getter]
    fn kind(&self) -> &'static str {
        kind(&self.inner)
    }

    /// The number of classes, if it has any.
    #[getter]
    fn number_of_classes(&self) -> Option<usize> {
        self.inner.classes()
    }
}

impl Variable {
    fn of_rows(name: String, values: Vec<f64>, width: usize) -> PyResult<Self> {
        let inner = OfRust::continuous(name, values, width).map_err(of_estimator)?;
        Ok(Self { inner })
    }
}

/// What the values of a variable mean, in a word.
pub(crate) fn kind(variable: &OfRust) -> &'static str {
    match variable.kind() {
        VariableKind::Continuous => "numbers",
        VariableKind::Categorical => "classes",
    }
}

/// A sample of variables.
pub(crate) fn sample(variables: &[PyRef<'_, Variable>]) -> PyResult<Sample> {
    let variables = variables.iter().map(|variable| variable.inner.clone()).collect();
    Sample::new(variables).map_err(of_estimator)
}
