//! JPEG files to pixels, strictly: what is missing of a cut one would be grey.
//!
//! By zune-jpeg, or with the feature `turbojpeg` by libjpeg-turbo in about three quarters of the time, and in less where only
//! a part of the picture is looked at. Their pixels differ by a grey level or two.

use memchr::memchr_iter;
use tcmax_data::Area;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::decode::limits::{LARGEST_SIDE, sized};
#[cfg(feature = "turbojpeg")]
use crate::decode::turbo;

/// Decodes a JPEG file into `pixels`, red, green and blue: those of an area, which has at least the part that `wanted`
/// says of a picture of (height, width). The area, and the picture's (height, width).
pub(super) fn jpeg(
    file: &[u8],
    wanted: impl FnOnce([usize; 2]) -> Area,
    pixels: &mut Vec<u8>,
) -> Result<(Area, [usize; 2]), String> {
    if !has_end(file) {
        return Err("its end is missing".to_owned());
    }
    #[cfg(feature = "turbojpeg")]
    if let Some(part) = turbo::decode(file, wanted, pixels)? {
        return Ok(part);
    }
    // zune-jpeg reads whole pictures only.
    #[cfg(not(feature = "turbojpeg"))]
    drop(wanted);
    by_zune(file, pixels)
}

fn by_zune(file: &[u8], pixels: &mut Vec<u8>) -> Result<(Area, [usize; 2]), String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(LARGEST_SIDE)
        .set_max_height(LARGEST_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|e| format!("{e:?}"))?;
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let (area, size) = (Area::whole([height, width]), [height, width]);
    sized(file, size, area, pixels)?;
    decoder.decode_into(pixels).map_err(|e| format!("{e:?}"))?;
    Ok((area, size))
}

/// Whether the marker of a JPEG file's end follows what it describes.
fn has_end(file: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Pixels, and after them a marker, which fill bytes may precede.
        let marker = memchr_iter(0xff, &file[at..])
            .find(|&n| file.get(at + n + 1).is_some_and(|&next| next != 0xff));
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
