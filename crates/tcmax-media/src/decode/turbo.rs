//! JPEG files by libjpeg-turbo.

use std::cell::RefCell;

use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use crate::decode::limits::{LARGEST_SIDE, sized};

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
            return Err(format!("{width} x {height} pixels; a side has {LARGEST_SIDE} at most"));
        }
        let shape = sized(file, [height, width], pixels)?;
        let pitch = 3 * width;
        let format = PixelFormat::RGB;
        let image = Image { pixels: &mut pixels[..], width, pitch, height, format };
        decoder.decompress(file, image).map_err(reason)?;
        Ok(Some(shape))
    })
}
