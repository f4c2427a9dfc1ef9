//! Sizes of sliding windows and convolutions.

use candle_core::{Result, Shape, bail};

/// Sizes of a sliding window and of what it slides over, as (height, width).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) image: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
    pub(crate) out: (usize, usize),
}

/// Refuses a tensor of f64 that no address space holds, so that sizes can be multiplied from here on.
pub(crate) fn check_elements(op: &'static str, dims: &[usize]) -> Result<()> {
    let bytes = dims.iter().try_fold(size_of::<f64>(), |bytes, dim| bytes.checked_mul(*dim));
    match bytes {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(()),
        _ => bail!("{op}: a tensor of {dims:?} is too large for memory"),
    }
}

impl Window {
    pub(crate) fn new(
        op: &'static str,
        image: (usize, usize),
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
    ) -> Result<Self> {
        if stride.0 == 0 || stride.1 == 0 || kernel.0 == 0 || kernel.1 == 0 {
            bail!("{op}: kernel {kernel:?} and stride {stride:?} must be at least 1");
        }
        let padded = |size: usize, padding: usize| padding.checked_mul(2)?.checked_add(size);
        let Some(padded) = padded(image.0, padding.0).zip(padded(image.1, padding.1)) else {
            bail!("{op}: the image {image:?} padded by {padding:?} is too large for memory");
        };
        let out = |size: usize, kernel: usize, stride: usize| {
            // No overflow: both are at least 1, so that the quotient is at most the size less 1.
            Some(size.checked_sub(kernel)? / stride + 1)
        };
        let (height, width) =
            (out(padded.0, kernel.0, stride.0), out(padded.1, kernel.1, stride.1));
        let (Some(height), Some(width)) = (height, width) else {
            bail!(
                "{op}: kernel {kernel:?} is larger than the image {image:?} padded by {padding:?}"
            );
        };
        // A step past the end leads as far as a step to the end, and such a step can be multiplied.
        let stride = (stride.0.min(padded.0), stride.1.min(padded.1));
        Ok(Self { image, kernel, stride, padding, out: (height, width) })
    }

    /// The image's size with its padding.
    pub(crate) fn padded(&self) -> (usize, usize) {
        (self.image.0 + 2 * self.padding.0, self.image.1 + 2 * self.padding.1)
    }

    /// Pixels of the image.
    pub(crate) fn pixels(&self) -> usize {
        self.image.0 * self.image.1
    }

    /// Positions of the window.
    pub(crate) fn positions(&self) -> usize {
        self.out.0 * self.out.1
    }

    /// Taps of the window.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The image row under tap row `tap` at output row `out`; `None` in the padding.
    #[inline(always)]
    pub(crate) fn row(&self, out: usize, tap: usize) -> Option<usize> {
        let row = (out * self.stride.0 + tap).checked_sub(self.padding.0)?;
        (row < self.image.0).then_some(row)
    }

    /// As [`Self::row`], for columns.
    #[inline(always)]
    pub(crate) fn column(&self, out: usize, tap: usize) -> Option<usize> {
        let column = (out * self.stride.1 + tap).checked_sub(self.padding.1)?;
        (column < self.image.1).then_some(column)
    }

    /// Output columns whose image column under tap column `tap` lies inside the image.
    #[inline(always)]
    pub(crate) fn inside(&self, tap: usize) -> std::ops::Range<usize> {
        let (stride, padding) = (self.stride.1, self.padding.1);
        let start = padding.saturating_sub(tap).div_ceil(stride);
        let end = (self.image.1 + padding).saturating_sub(tap).div_ceil(stride);
        let end = end.min(self.out.1);
        start.min(end)..end
    }
}

/// Sizes of a convolution on (B, H, W, from) with filters (K_h, K_w, from, to).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) batch: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) window: Window,
}

impl ConvShape {
    /// Whether there is nothing to compute.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch * self.from * self.to * self.window.pixels() == 0
    }

    /// The shape of the output.
    pub(crate) fn out_dims(&self) -> Shape {
        Shape::from((self.batch, self.window.out.0, self.window.out.1, self.to))
    }

    /// Numbers of an image.
    pub(crate) fn image_len(&self) -> usize {
        self.window.pixels() * self.from
    }

    /// Numbers of an output image.
    pub(crate) fn out_len(&self) -> usize {
        self.window.positions() * self.to
    }

    /// Numbers under a window.
    pub(crate) fn depth(&self) -> usize {
        self.window.taps() * self.from
    }
}
