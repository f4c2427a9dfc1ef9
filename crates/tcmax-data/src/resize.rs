//! Resizing of stored pixels.
//!
//! The library's own entry decides between twenty types of pixels, and is compiled for all of them
//! wherever it is called, for two minutes each time. This file alone calls it, for the two types that
//! matter: grey and colour. Other numbers of channels are resized as several grey pictures.

use std::cell::RefCell;

use fast_image_resize::images::{Image, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3};
use fast_image_resize::{
    FilterType, IntoImageViewMut, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
};

/// A rectangle of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Columns to its left.
    pub left: f64,
    /// Rows above it.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
}

/// Whole rows and columns of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Rows above it.
    pub top: usize,
    /// Columns to its left.
    pub left: usize,
    /// Its rows.
    pub height: usize,
    /// Its columns.
    pub width: usize,
}

impl Area {
    /// All of a picture of (height, width) pixels.
    pub fn whole([height, width]: [usize; 2]) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

impl Crop {
    /// What [`resize`] reads for it of a picture of (height, width) pixels: what lies within, and around it half of what
    /// becomes one pixel where it is made smaller.
    pub fn area(self, [height, width]: [usize; 2], to: [usize; 2]) -> Area {
        let reads = |start: f64, length: f64, all: usize, to: usize| {
            let around = (length / to.max(1) as f64).max(1.0);
            let first = (start - around).floor().max(0.0) as usize;
            let end = (start + length + around).ceil().max(0.0) as usize;
            (first.min(all), end.min(all).saturating_sub(first))
        };
        let (top, height) = reads(self.top, self.height, height, to[0]);
        let (left, width) = reads(self.left, self.width, width, to[1]);
        Area { top, left, height, width }
    }
}

thread_local! {
    /// What resizing works in, kept between pictures.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// A crop of a picture of (height, width, channels) bytes, resized to `to`
/// (height, width): bilinear with antialiasing. `None` when the picture does not have the bytes its shape
/// says, or the crop does not lie within it.
///
/// ```
/// use tcmax_data::{Crop, resize};
///
/// let grey = [10, 20, 30, 40];
/// let whole = Crop { left: 0.0, top: 0.0, width: 2.0, height: 2.0 };
/// assert_eq!(resize(&grey, [2, 2, 1], whole, [2, 2]).unwrap(), grey);
/// assert_eq!(resize(&grey, [2, 2, 1], whole, [1, 1]).unwrap(), [25]);
/// // The same twice, side by side.
/// let two = [10, 10, 20, 20, 30, 30, 40, 40];
/// assert_eq!(resize(&two, [2, 2, 2], whole, [1, 1]).unwrap(), [25, 25]);
/// assert_eq!(resize(&two[1..], [2, 2, 2], whole, [1, 1]), None);
/// ```
pub fn resize(
    picture: &[u8],
    [height, width, channels]: [usize; 3],
    crop: Crop,
    to: [usize; 2],
) -> Option<Vec<u8>> {
    let size = [height, width];
    match channels {
        0 => None,
        1 => typed::<U8>(picture, size, crop, to),
        3 => typed::<U8x3>(picture, size, crop, to),
        _ => {
            let mut out = vec![0; to[0] * to[1] * channels];
            for channel in 0..channels {
                let plane: Vec<u8> =
                    picture.iter().skip(channel).step_by(channels).copied().collect();
                let small = typed::<U8>(&plane, size, crop, to)?;
                out.iter_mut().skip(channel).step_by(channels).zip(small).for_each(|(o, s)| *o = s);
            }
            Some(out)
        }
    }
}

fn typed<P: PixelTrait + InnerPixel>(
    picture: &[u8],
    [height, width]: [usize; 2],
    crop: Crop,
    to: [usize; 2],
) -> Option<Vec<u8>> {
    let size = |length: usize| u32::try_from(length).ok();
    let source = TypedImageRef::<P>::from_buffer(size(width)?, size(height)?, picture).ok()?;
    let mut out = Image::new(size(to[1])?, size(to[0])?, P::pixel_type());
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(crop.left, crop.top, crop.width, crop.height)
        .use_alpha(false);
    let mut view = out.image_view_mut::<P>()?;
    RESIZER.with_borrow_mut(|resizer| resizer.resize_typed(&source, &mut view, &options)).ok()?;
    drop(view);
    Some(out.into_vec())
}
