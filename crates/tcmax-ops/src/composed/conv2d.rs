//! Convolution.

use candle_core::{Result, Tensor};

use crate::composed::windows::windows;
use crate::geometry::ConvShape;

pub(crate) fn conv2d(x: &Tensor, filters: &Tensor, shape: &ConvShape) -> Result<Tensor> {
    let (window, depth) = (&shape.window, shape.depth());
    let rows = windows(x, window, 0.0)?.reshape((shape.batch * window.positions(), depth))?;
    let out = rows.matmul(&filters.reshape((depth, shape.to))?)?;
    out.reshape((shape.batch, window.out.0, window.out.1, shape.to))
}
