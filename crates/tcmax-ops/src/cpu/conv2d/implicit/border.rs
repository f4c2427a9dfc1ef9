//! A batch of images with a border of zeros.

use rayon::prelude::*;

use crate::cpu::matmul::scratch::Scratch;
use crate::geometry::ConvShape;
use crate::tasks::Fork;

/// Lines that a thread copies at least.
const LINES_AT_ONCE: usize = 4;

/// Images (B, H, W, channels) with zero rows and columns around each; borrowed where none are
/// needed.
pub(super) struct Bordered<'a> {
    pub(super) values: Values<'a>,
    height: usize,
    width: usize,
    /// Rows and columns of zeros before the image.
    before: (usize, usize),
}

pub(super) enum Values<'a> {
    Owned(Scratch),
    Borrowed(&'a [f32]),
}

impl std::ops::Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Values::Owned(values) => values,
            Values::Borrowed(values) => values,
        }
    }
}

impl<'a> Bordered<'a> {
    /// The input with its padding.
    pub(super) fn around(x: &'a [f32], shape: &ConvShape) -> Self {
        let padding = shape.window.padding;
        Self::new(x, shape.window.image, shape.from, padding, padding)
    }

    /// The gradient of the output with room for windows that only partly meet the image.
    pub(super) fn around_gradient(grad: &'a [f32], shape: &ConvShape) -> Self {
        let window = &shape.window;
        let before = |kernel: usize, padding: usize, stride: usize| {
            (kernel - 1).saturating_sub(padding).div_ceil(stride)
        };
        let after = |size: usize, padding: usize, stride: usize, out: usize| {
            ((size - 1 + padding) / stride).saturating_sub(out - 1)
        };
        let (kernel, padding, stride) = (window.kernel, window.padding, window.stride);
        let (image, out) = (window.image, window.out);
        let low = (before(kernel.0, padding.0, stride.0), before(kernel.1, padding.1, stride.1));
        let high = (
            after(image.0, padding.0, stride.0, out.0),
            after(image.1, padding.1, stride.1, out.1),
        );
        Self::new(grad, out, shape.to, low, high)
    }

    fn new(
        values: &'a [f32],
        (height, width): (usize, usize),
        channels: usize,
        before: (usize, usize),
        after: (usize, usize),
    ) -> Self {
        let (full_height, full_width) = (before.0 + height + after.0, before.1 + width + after.1);
        let whole = Self {
            values: Values::Borrowed(values),
            height: full_height,
            width: full_width,
            before,
        };
        if (full_height, full_width) == (height, width) {
            return whole;
        }
        let line = width * channels;
        let full_line = full_width * channels;
        let images = values.len() / (height * line);
        let mut bordered = Scratch::new(images * full_height * full_line);
        let lines = bordered.par_chunks_mut(full_line).with_min_len(LINES_AT_ONCE).enumerate();
        lines.fork(|(number, out)| {
            let (image, row) = (number / full_height, number % full_height);
            let Some(row) = row.checked_sub(before.0).filter(|row| *row < height) else {
                return out.fill(0.0);
            };
            let (left, rest) = out.split_at_mut(before.1 * channels);
            let (inside, right) = rest.split_at_mut(line);
            left.fill(0.0);
            inside.copy_from_slice(&values[(image * height + row) * line..][..line]);
            right.fill(0.0);
        });
        Self { values: Values::Owned(bordered), ..whole }
    }

    /// The number of a pixel, counted with the border.
    pub(super) fn pixel(&self, image: usize, row: usize, column: usize) -> usize {
        (image * self.height + row) * self.width + column
    }

    /// The number of the pixel at (row, column) of the image proper, or of its border.
    pub(super) fn shifted_pixel(&self, image: usize, row: isize, column: isize) -> usize {
        let row = row + self.before.0 as isize;
        let column = column + self.before.1 as isize;
        debug_assert!(row >= 0 && column >= 0);
        self.pixel(image, row as usize, column as usize)
    }
}
