//! Entries of the state of methods, read back.

use candle_core::Tensor;
use tcmax_ops::{State, to_vec_f64};

use crate::{Error, Result};

/// The entry called `name`.
pub(crate) fn tensor<'a>(state: &'a State, name: &str) -> Result<&'a Tensor> {
    state.get(name).ok_or_else(|| Error::MissingState { name: name.to_owned() })
}

/// The entry called `name` as `count` numbers.
pub(crate) fn vector(state: &State, name: &str, count: usize) -> Result<Vec<f64>> {
    let values = to_vec_f64(tensor(state, name)?)?;
    if values.len() != count {
        let got = values.len();
        return Err(Error::WrongState { name: name.to_owned(), got, wanted: count });
    }
    Ok(values)
}
