//! Picture files to pixels.

use std::cell::RefCell;
use std::io::Read;
use std::path::Path;

use image::ImageDecoder;
use image::codecs::png::PngDecoder;
use tcmax_data::{Area, Crop, file, resize};

use crate::decode::jpeg::jpeg;
use crate::decode::limits::{LARGEST_SIDE, MOST_BYTES, plausible};
use crate::error::{Error, Result};

/// Larger files are refused before they are read.
const LARGEST_FILE: u64 = 1 << 28;
/// Bytes of memory that a thread keeps for its next picture.
const LARGEST_KEPT: usize = 1 << 24;

/// Interleaved bytes of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Bytes per pixel.
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
    with_part(path, Area::whole, |bytes, _, [height, width]| read(bytes, [height, width, 3]))
}

/// As [`with_image`], of a picture of which only the part is looked at that `wanted` says, by its (height, width). `read`
/// gets the pixels of an area that has at least this part, (height, width, 3), the area, and the picture's (height, width).
///
/// With the feature `turbojpeg` less is decoded of JPEG files, and what is below the part is not looked at, but for the
/// end of the file: damage there is not seen. Without it, and of other files, the area is the whole picture.
///
/// # Errors
/// As [`image()`].
pub fn with_part<T>(
    path: &Path,
    wanted: impl FnOnce([usize; 2]) -> Area,
    read: impl FnOnce(&[u8], Area, [usize; 2]) -> T,
) -> Result<T> {
    let (mut file, length) = file::open(path, "")?;
    if length > LARGEST_FILE {
        let problem = format!("a picture of {length} bytes is too large");
        return Err(Error::media(path, problem));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(tcmax_data::Error::io(path))?;
    parse_part(&bytes, wanted, read).map_err(|reason| incomplete(path, &reason))
}

/// As [`with_image`], of a file's bytes.
///
/// # Errors
/// As [`image()`]; the reason alone.
pub fn parse_image<T>(
    file: &[u8],
    read: impl FnOnce(&[u8], [usize; 3]) -> T,
) -> std::result::Result<T, String> {
    parse_part(file, Area::whole, |bytes, _, [height, width]| read(bytes, [height, width, 3]))
}

/// As [`with_part`], of a file's bytes.
///
/// # Errors
/// As [`image()`]; the reason alone.
pub fn parse_part<T>(
    file: &[u8],
    wanted: impl FnOnce([usize; 2]) -> Area,
    read: impl FnOnce(&[u8], Area, [usize; 2]) -> T,
) -> std::result::Result<T, String> {
    // Taken, not borrowed: `read` may read another picture.
    let mut pixels = DECODED.take();
    let part = match file.starts_with(&[0xff, 0xd8]) {
        true => jpeg(file, wanted, &mut pixels),
        false => png(file, &mut pixels),
    };
    let value = part.map(|(area, size)| read(&pixels, area, size));
    pixels.truncate(LARGEST_KEPT);
    pixels.shrink_to(LARGEST_KEPT);
    DECODED.set(pixels);
    value
}

/// Decodes a PNG file into `pixels`.
fn png(file: &[u8], pixels: &mut Vec<u8>) -> std::result::Result<(Area, [usize; 2]), String> {
    let bad = |error: image::ImageError| error.to_string();
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE as u32);
    limits.max_image_height = Some(LARGEST_SIDE as u32);
    limits.max_alloc = Some(MOST_BYTES);
    let decoder = PngDecoder::with_limits(std::io::Cursor::new(file), limits).map_err(bad)?;
    let (width, height) = decoder.dimensions();
    plausible(file, decoder.total_bytes())?;
    let size = [height as usize, width as usize];
    if decoder.color_type() == image::ColorType::Rgb8 {
        pixels.resize(3 * size[0] * size[1], 0);
        decoder.read_image(pixels).map_err(bad)?;
    } else {
        *pixels = image::DynamicImage::from_decoder(decoder).map_err(bad)?.into_rgb8().into_raw();
    }
    Ok((Area::whole(size), size))
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
    let whole = Crop { left: 0.0, top: 0.0, width: width as f64, height: height as f64 };
    let to = [scale(height), scale(width)];
    let small = resize(bytes, [height, width, 3], whole, to);
    let problem = || format!("{} bytes are no picture of {width} x {height}", bytes.len());
    Ok(Pixels { height: to[0], width: to[1], channels: 3, bytes: small.ok_or_else(problem)? })
}
