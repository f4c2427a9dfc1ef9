//! Position embeddings of grids of another size, by bicubic interpolation.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// The table (1, lead + rows * columns, D) for a grid of `to` instead of `from`: the first `lead` rows stay,
/// the others are interpolated between the centres of the patches, as `transformers` does
/// (`interpolate_pos_encoding`).
pub(crate) fn resized(
    table: &Tensor,
    lead: usize,
    from: [usize; 2],
    to: [usize; 2],
) -> Result<Tensor> {
    if from == to {
        return Ok(table.clone());
    }
    let width = table.dim(2)?;
    let first = table.narrow(1, 0, lead)?;
    let grid = table.narrow(1, lead, from[0] * from[1])?;
    let [rows, columns] = [0, 1].map(|axis| weights(from[axis], to[axis]));
    let mut both = Vec::with_capacity(to[0] * to[1] * from[0] * from[1]);
    for (row, column) in (0..to[0]).flat_map(|row| (0..to[1]).map(move |column| (row, column))) {
        for row_weight in &rows[row] {
            both.extend(columns[column].iter().map(|column_weight| row_weight * column_weight));
        }
    }
    let shape = (to[0] * to[1], from[0] * from[1]);
    let both = Tensor::from_vec(both, shape, &candle_core::Device::Cpu)?;
    let both = both.to_dtype(table.dtype())?.to_device(table.device())?;
    let grid = both.matmul(&grid.reshape((from[0] * from[1], width))?)?.unsqueeze(0)?;
    debug_assert!(table.dtype() == DType::F32 || table.dtype() == DType::F64);
    Ok(Tensor::cat(&[first, grid], 1)?)
}

/// What each of `to` places along an axis takes from each of `from`.
fn weights(from: usize, to: usize) -> Vec<Vec<f64>> {
    let step = from as f64 / to as f64;
    let of_place = |place: usize| {
        let at = (place as f64 + 0.5) * step - 0.5;
        let (whole, rest) = (at.floor(), at - at.floor());
        let mut row = vec![0.0; from];
        for (tap, weight) in cubic(rest).into_iter().enumerate() {
            // Beyond the edge stands the place at the edge.
            let source = (whole + tap as f64 - 1.0).clamp(0.0, from as f64 - 1.0);
            row[source as usize] += weight;
        }
        row
    };
    (0..to).map(of_place).collect()
}

/// Keys' cubic convolution with a = -0.75 at 1 + t, t, 1 - t, 2 - t.
fn cubic(t: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_place_sum_to_one_and_the_same_grid_stays() {
        for (from, to) in [(4, 6), (4, 5), (7, 3), (1, 4)] {
            for row in weights(from, to) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
        for (place, row) in weights(5, 5).iter().enumerate() {
            assert_eq!(row[place], 1.0);
        }
    }
}
