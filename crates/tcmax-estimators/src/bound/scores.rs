//! Checks of scores, and entries of a matrix of pair scores S_ij = T(x_i, y_j).

use candle_core::Tensor;

use crate::error::{Error, Result};

/// The scores of the joint examples, S_ii: shape (N,).
///
/// # Errors
/// When the matrix is empty or not square.
pub fn diagonal(scores: &Tensor) -> Result<Tensor> {
    let n = side(scores)?;
    pick(scores, (0..n).map(|i| i * n + i))
}

/// The scores of all pairs i != j, row by row: shape (N (N - 1),).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::bound::{diagonal, off_diagonal};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let scores = Tensor::new(&[[1f64, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// assert_eq!(diagonal(&scores)?.to_vec1::<f64>()?, [1.0, 4.0]);
/// assert_eq!(off_diagonal(&scores)?.to_vec1::<f64>()?, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the matrix is not square, or has fewer than two rows.
pub fn off_diagonal(scores: &Tensor) -> Result<Tensor> {
    let n = side(scores)?;
    if n < 2 {
        return Err(Error::TooFewSamples { got: n, wanted: 2, purpose: "pairs of two examples" });
    }
    pick(scores, (0..n * n).filter(|place| place % (n + 1) != 0))
}

/// The number of rows of a square matrix.
pub(super) fn side(scores: &Tensor) -> Result<usize> {
    match scores.dims() {
        &[rows, columns] if rows == columns && rows > 0 => Ok(rows),
        other => Err(Error::WrongShape {
            what: "pair scores".to_owned(),
            got: other.to_vec(),
            wanted: "a square matrix with at least one row".to_owned(),
        }),
    }
}

/// Scores must be a vector with at least one entry.
pub(super) fn check_vector(what: &str, scores: &Tensor) -> Result<()> {
    if scores.rank() == 1 && scores.elem_count() > 0 {
        return Ok(());
    }
    Err(Error::WrongShape {
        what: what.to_owned(),
        got: scores.dims().to_vec(),
        wanted: "a vector with at least one score".to_owned(),
    })
}

fn pick(scores: &Tensor, places: impl Iterator<Item = usize>) -> Result<Tensor> {
    let places: Vec<u32> = places.map(|place| place as u32).collect();
    let count = places.len();
    let places = Tensor::from_vec(places, count, scores.device())?;
    Ok(scores.flatten_all()?.contiguous()?.index_select(&places, 0)?)
}
