//! A batch of images with a border of zeros.

use rayon::prelude::*;

use crate::cpu::matmul::scratch::Scratch;
use crate::geometry::{ConvShape, Window};
use crate::tasks::Fork;

/// Lines that a thread copies at least.
const LINES_AT_ONCE: usize = 4;

/// The images (B, H, W, from) of a convolution with its padding around each, and the convolution that has none.
pub(super) fn with_border(x: &[f32], shape: &ConvShape) -> (Scratch, ConvShape) {
    let (window, channels) = (shape.window, shape.from);
    let ((height, width), (above, before)) = (window.image, window.padding);
    let (full_height, full_width) = window.padded();
    let (line, full_line) = (width * channels, full_width * channels);
    let mut bordered = Scratch::new(shape.batch * full_height * full_line);
    let lines = bordered.par_chunks_mut(full_line).with_min_len(LINES_AT_ONCE).enumerate();
    lines.fork(|(number, out)| {
        let (image, row) = (number / full_height, number % full_height);
        let Some(row) = row.checked_sub(above).filter(|row| *row < height) else {
            return out.fill(0.0);
        };
        let (left, rest) = out.split_at_mut(before * channels);
        let (inside, right) = rest.split_at_mut(line);
        left.fill(0.0);
        inside.copy_from_slice(&x[(image * height + row) * line..][..line]);
        right.fill(0.0);
    });
    let window = Window { image: window.padded(), padding: (0, 0), ..window };
    (bordered, ConvShape { window, ..*shape })
}
