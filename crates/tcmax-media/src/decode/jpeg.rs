//! JPEG files to pixels, strictly: what is missing of a cut one would be grey.
//!
//! By zune-jpeg, or with the feature `turbojpeg` by libjpeg-turbo in two thirds of the time. Their pixels differ by a
//! grey level or two.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::decode::image::{LARGEST_SIDE, plausible};

/// Decodes a JPEG file into `pixels`, red, green and blue: (height, width, 3).
pub(super) fn jpeg(file: &[u8], pixels: &mut Vec<u8>) -> Result<[usize; 3], String> {
    if !has_end(file) {
        return Err("its end is missing".to_owned());
    }
    #[cfg(feature = "turbojpeg")]
    if let Some(shape) = turbo::decode(file, pixels)? {
        return Ok(shape);
    }
    by_zune(file, pixels)
}

fn by_zune(file: &[u8], pixels: &mut Vec<u8>) -> Result<[usize; 3], String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let shape = sized(file, [height, width], pixels)?;
    decoder.decode_into(pixels).map_err(|e| format!("{e:?}"))?;
    Ok(shape)
}

/// Makes room for the pixels, if the file can hold them.
fn sized(
    file: &[u8],
    [height, width]: [usize; 2],
    pixels: &mut Vec<u8>,
) -> Result<[usize; 3], String> {
    let shape = [height, width, 3];
    plausible(file, shape.iter().map(|&n| n as u64).product())?;
    pixels.resize(shape.iter().product(), 0);
    Ok(shape)
}

/// libjpeg-turbo.
#[cfg(feature = "turbojpeg")]
mod turbo {
    use std::cell::RefCell;

    use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

    use super::sized;
    use crate::decode::image::LARGEST_SIDE;

    thread_local! {
        /// What decodes on this thread.
        static DECODER: RefCell<Option<Decompressor>> = const { RefCell::new(None) };
    }

    /// Decodes a file; `None` where its colours are those of printers, which this library does not turn into
    /// red, green and blue.
    pub(super) fn decode(file: &[u8], pixels: &mut Vec<u8>) -> Result<Option<[usize; 3]>, String> {
        let reason = |error: turbojpeg::Error| error.to_string();
        DECODER.with_borrow_mut(|decoder| {
            if decoder.is_none() {
                *decoder = Some(Decompressor::new().map_err(reason)?);
            }
            let decoder = decoder.as_mut().ok_or("no decoder")?;
            let header = decoder.read_header(file).map_err(reason)?;
            if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
                return Ok(None);
            }
            let (width, height) = (header.width, header.height);
            if width.max(height) > LARGEST_SIDE {
                return Err(format!(
                    "{width} x {height} pixels; a side has {LARGEST_SIDE} at most"
                ));
            }
            let shape = sized(file, [height, width], pixels)?;
            let pitch = 3 * width;
            let format = PixelFormat::RGB;
            let image = Image { pixels: &mut pixels[..], width, pitch, height, format };
            decoder.decompress(file, image).map_err(reason)?;
            Ok(Some(shape))
        })
    }
}

/// Whether the marker of a JPEG file's end follows what it describes.
fn has_end(file: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Pixels, and after them a marker, which fill bytes may precede.
        let marker = file[at..].windows(2).position(|pair| pair[0] == 0xff && pair[1] != 0xff);
        let Some(marker) = marker else {
            return false;
        };
        at += marker + 2;
        match file[at - 1] {
            0xd9 => return true,
            // Within pixels, or without content.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(&[high, low]) = file[at..].first_chunk() else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([high, low]));
                if at >= file.len() {
                    return false;
                }
            }
        }
    }
}
