//! JPEG files to pixels, strictly: what is missing of a cut one would be grey.
//!
//! By zune-jpeg, or with the feature `turbojpeg` by libjpeg-turbo in about three quarters of the time. Their pixels differ by a
//! grey level or two.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::decode::limits::{LARGEST_SIDE, sized};
#[cfg(feature = "turbojpeg")]
use crate::decode::turbo;

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
