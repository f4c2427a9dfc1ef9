//! Picture files to pixels.

use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Error, Result};

/// Larger pictures are refused before their pixels are allocated.
const LARGEST_SIDE: u32 = 20_000;
const MOST_BYTES: u64 = 1 << 30;

/// Interleaved bytes of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Bytes a pixel.
    pub channels: usize,
    /// Row by row.
    pub bytes: Vec<u8>,
}

/// Reads a JPEG or PNG file as red, green and blue, shrunk so that its shorter side is at most
/// `side`.
///
/// # Errors
/// When it cannot be decoded, or is larger than any photograph.
pub fn image(path: &Path, side: usize) -> Result<Pixels> {
    tcmax_data::own::media_file::check(path, "")?;
    let bad = |reason: String| {
        Error::media(path, format!("not a complete picture ({reason}); fetch it again"))
    };
    let mut reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| bad(e.to_string()))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| bad(e.to_string()))?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = Pixels { height, width, channels: 3, bytes: picture.into_raw() };
    shrink(pixels, side).map_err(bad)
}

/// Shrinks a picture so that its shorter side is `side`; a smaller one stays. Bilinear, antialiased.
///
/// # Errors
/// When the bytes do not fit the sizes.
pub fn shrink(picture: Pixels, side: usize) -> std::result::Result<Pixels, String> {
    let shorter = picture.height.min(picture.width);
    if shorter <= side {
        return Ok(picture);
    }
    let scale = |length: usize| ((length * side) as f64 / shorter as f64).round() as usize;
    let (height, width) = (scale(picture.height), scale(picture.width));
    let (w, h) = (picture.width as u32, picture.height as u32);
    let source = ImageRef::new(w, h, &picture.bytes, PixelType::U8x3).map_err(|e| e.to_string())?;
    let mut out = Image::new(width as u32, height as u32, PixelType::U8x3);
    let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
    let options = ResizeOptions::new().resize_alg(bilinear).use_alpha(false);
    Resizer::new().resize(&source, &mut out, &options).map_err(|e| e.to_string())?;
    Ok(Pixels { height, width, channels: 3, bytes: out.into_vec() })
}
