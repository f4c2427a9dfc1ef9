//! The compiled part of the Python package `tcmax`: the module `tcmax._tcmax`.
//!
//! What is here takes NumPy arrays and plain values and returns plain values; what users call is the Python code in
//! `python/tcmax`, which understands frames, tensors and words. No number is computed in Python that a crate of the
//! workspace computes.

// Arguments of functions that Python calls are owned.
#![allow(clippy::needless_pass_by_value)]

mod bound;
mod data;
mod errors;
mod estimate;
mod found;
mod interrupt;
mod prepare;
mod settings;
mod variable;

use pyo3::prelude::*;

/// Estimators, the TCMax bound, data sets and media preparation, compiled.
#[pymodule]
mod _tcmax {
    #[pymodule_export]
    use crate::bound::{blended_f32, blended_f64};
    #[pymodule_export]
    use crate::data::{Examples, Source, data_sets, open_data};
    #[pymodule_export]
    use crate::errors::Error;
    #[pymodule_export]
    use crate::estimate::{
        estimate, estimate_columns, estimate_measure, estimate_pairs, estimators,
        partial_information, set_threads, t_half_width,
    };
    #[pymodule_export]
    use crate::prepare::prepare;
    #[pymodule_export]
    use crate::settings::Settings;
    #[pymodule_export]
    use crate::variable::Variable;
}
