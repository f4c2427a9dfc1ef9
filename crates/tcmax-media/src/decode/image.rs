//! Picture files to pixels.

use std::cell::RefCell;
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use image::ImageDecoder;

use crate::{Error, Result};

/// Larger pictures are refused before their pixels are allocated.
const LARGEST_SIDE: u32 = 20_000;
const MOST_BYTES: u64 = 1 << 30;
/// Bytes of memory that a thread keeps for its next picture.
const LARGEST_KEPT: usize = 1 << 24;

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

thread_local! {
    /// The picture last decoded on this thread: fresh memory for each costs a quarter of its decoding.
    static DECODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads a JPEG or PNG file as red, green and blue, shrunk so that its shorter side is at most
/// `side`.
///
/// # Errors
/// When it cannot be decoded, or is larger than any photograph.
pub fn image(path: &Path, side: usize) -> Result<Pixels> {
    let shrunk =
        with_image(path, |bytes, [height, width, channels]| match height.min(width) <= side {
            true => Ok(Pixels { height, width, channels, bytes: bytes.to_vec() }),
            false => smaller(bytes, [height, width], side),
        })?;
    shrunk.map_err(|reason| incomplete(path, &reason))
}

/// Hands the bytes of a JPEG or PNG file, red, green and blue, and its (height, width, 3) to `read`.
///
/// # Errors
/// As [`image()`].
pub fn with_image<T>(path: &Path, read: impl FnOnce(&[u8], [usize; 3]) -> T) -> Result<T> {
    tcmax_data::own::media_file::check(path, "")?;
    let bad = |error: image::ImageError| incomplete(path, &error.to_string());
    let open = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
    let mut reader = open.map_err(|e| incomplete(path, &e.to_string()))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(bad)?;
    let (width, height) = decoder.dimensions();
    let shape = [height as usize, width as usize, 3];
    if decoder.color_type() != image::ColorType::Rgb8 || decoder.total_bytes() > MOST_BYTES {
        let picture = image::DynamicImage::from_decoder(decoder).map_err(bad)?.into_rgb8();
        return Ok(read(&picture, shape));
    }
    // Taken, not borrowed: `read` may read another picture.
    let mut bytes = DECODED.take();
    bytes.resize(shape.iter().product(), 0);
    decoder.read_image(&mut bytes).map_err(bad)?;
    let value = read(&bytes, shape);
    bytes.truncate(LARGEST_KEPT);
    bytes.shrink_to(LARGEST_KEPT);
    DECODED.set(bytes);
    Ok(value)
}

fn incomplete(path: &Path, reason: &str) -> Error {
    Error::media(path, format!("not a complete picture ({reason}); fetch it again"))
}

/// Shrinks a picture so that its shorter side is `side`; a smaller one stays. Bilinear, antialiased.
///
/// # Errors
/// When the bytes do not fit the sizes.
pub fn shrink(picture: Pixels, side: usize) -> std::result::Result<Pixels, String> {
    match picture.height.min(picture.width) <= side {
        true => Ok(picture),
        false => smaller(&picture.bytes, [picture.height, picture.width], side),
    }
}

fn smaller(
    bytes: &[u8],
    [height, width]: [usize; 2],
    side: usize,
) -> std::result::Result<Pixels, String> {
    let shorter = height.min(width);
    let scale = |length: usize| ((length * side) as f64 / shorter as f64).round() as usize;
    let source = ImageRef::new(width as u32, height as u32, bytes, PixelType::U8x3);
    let source = source.map_err(|e| e.to_string())?;
    let (height, width) = (scale(height), scale(width));
    let mut out = Image::new(width as u32, height as u32, PixelType::U8x3);
    let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
    let options = ResizeOptions::new().resize_alg(bilinear).use_alpha(false);
    Resizer::new().resize(&source, &mut out, &options).map_err(|e| e.to_string())?;
    Ok(Pixels { height, width, channels: 3, bytes: out.into_vec() })
}
