//! What methods for two modalities share.

use crate::{Error, Result};

/// The two entries of a list that a method for two modalities works on.
///
/// # Errors
/// When there are not two.
pub(super) fn pair<T: Clone>(method: &'static str, values: &[T]) -> Result<[T; 2]> {
    let got = values.len();
    <[T; 2]>::try_from(values.to_vec()).map_err(|_| Error::NeedsTwoModalities { method, got })
}
