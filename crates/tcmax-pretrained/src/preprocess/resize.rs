//! How the size of pictures is changed.

/// How pixels between those of a picture are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The nearest pixel.
    Nearest,
    /// Lanczos's window of three lobes.
    Lanczos,
    /// Linear.
    Bilinear,
    /// Cubic.
    Bicubic,
    /// The mean of the pixels covered.
    Box,
    /// Hamming's window.
    Hamming,
}

/// To which size a picture is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// This height and width, whatever the picture's.
    Exact {
        /// Pixels from top to bottom.
        height: usize,
        /// Pixels from left to right.
        width: usize,
    },
    /// The shorter edge has so many pixels; the proportions stay.
    ShortestEdge(usize),
}
