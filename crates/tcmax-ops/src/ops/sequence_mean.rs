//! The mean over the rows of each sequence, outside candle's graph.

use candle_core::{DType, Result, Tensor, bail};

use crate::cpu::sequence_mean::{self, Rows};
use crate::cpu::storage::{dispatch, open, shaped};
use crate::sequences::Sequences;

const OP: &str = "mean of sequences";

/// The means (count, D) of the rows (N, D) that are seen, and what their gradient needs.
pub(crate) fn forward(x: &Tensor, sequences: &Sequences) -> Result<(Tensor, Rows)> {
    let (count, width) = x.dims2()?;
    if count != sequences.rows() {
        bail!("{OP}: {count} rows, and sequences of {}", sequences.rows());
    }
    let counted = match sequences.seen() {
        Some(seen) => {
            let numbers = seen.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            Some(numbers.into_iter().map(|number| number != 0.0).collect())
        }
        None => None,
    };
    let rows = Rows { width, ranges: sequences.ranges().collect(), counted };
    let x = x.contiguous()?;
    let opened = open(&x, OP);
    let means = dispatch!(opened.storage()?, OP, |T| {
        sequence_mean::forward(&rows, opened.values::<T>()?)
    });
    Ok((shaped(means, (sequences.count(), width))?, rows))
}

/// The gradient (N, D) of that of the means.
pub(crate) fn backward(rows: &Rows, grad: &Tensor) -> Result<Tensor> {
    let grad = grad.contiguous()?;
    let opened = open(&grad, OP);
    let gradient = dispatch!(opened.storage()?, OP, |T| {
        sequence_mean::backward(rows, opened.values::<T>()?)
    });
    let count = rows.ranges.last().map_or(0, |range| range.end);
    shaped(gradient, (count, rows.width))
}
