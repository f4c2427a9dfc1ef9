//! JPEG files by libjpeg-turbo: whole, or only what is looked at of one.
//!
//! By the library's C interface: the binding's safe one reads whole pictures only.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use tcmax_data::Area;
use turbojpeg::raw;

use crate::decode::limits::{LARGEST_SIDE, sized};

thread_local! {
    /// What decodes on this thread.
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

/// Decodes the part of a file that `wanted` says, by its (height, width), or somewhat more: the area that was decoded,
/// and the picture's (height, width). `None` where its colours are those of printers, which this library does not turn
/// into red, green and blue.
pub(super) fn decode(
    file: &[u8],
    wanted: impl FnOnce([usize; 2]) -> Area,
    pixels: &mut Vec<u8>,
) -> Result<Option<(Area, [usize; 2])>, String> {
    DECODER.with_borrow_mut(|decoder| {
        if decoder.is_none() {
            *decoder = Some(Decoder::new()?);
        }
        let decoder = decoder.as_mut().ok_or("no decoder")?;
        let header = decoder.read_header(file)?;
        if matches!(header.colours, raw::TJCS_TJCS_CMYK | raw::TJCS_TJCS_YCCK) {
            return Ok(None);
        }
        let [height, width] = header.size;
        if width.max(height) > LARGEST_SIDE {
            return Err(format!("{width} x {height} pixels; a side has {LARGEST_SIDE} at most"));
        }
        let area = header.decodable(wanted(header.size));
        sized(file, header.size, area, pixels)?;
        decoder.decompress(file, area, header.size, pixels)?;
        Ok(Some((area, header.size)))
    })
}

/// What a file says before its pixels.
struct Header {
    /// Height and width.
    size: [usize; 2],
    colours: raw::TJCS,
    /// Columns that are coded together, across all colours; none where only the whole can be decoded.
    together: Option<usize>,
}

impl Header {
    /// The smallest area with `wanted` that can be decoded, with the same pixels as the whole has: it begins between
    /// columns that are coded together, and colours of fewer pixels are spread over neighbours, which must be there.
    fn decodable(&self, wanted: Area) -> Area {
        let [all_rows, all_columns] = self.size;
        let Some(together) = self.together else { return Area::whole(self.size) };
        let end =
            |start: usize, length: usize, all: usize| start.saturating_add(length).clamp(1, all);
        let bottom = end(wanted.top, wanted.height, all_rows);
        let right = end(wanted.left, wanted.width.saturating_add(together), all_columns);
        let top = wanted.top.min(bottom - 1);
        let left = wanted.left.min(right - 1).saturating_sub(together) / together * together;
        Area { top, left, height: bottom - top, width: right - left }
    }
}

/// A decoder of libjpeg-turbo.
struct Decoder(NonNull<c_void>);

impl Decoder {
    fn new() -> Result<Self, String> {
        // SAFETY: a new instance, or null.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        NonNull::new(handle).map(Self).ok_or_else(|| "no memory for a decoder".to_owned())
    }

    fn read_header(&mut self, file: &[u8]) -> Result<Header, String> {
        let handle = self.0.as_ptr();
        // SAFETY: as many bytes are read as the slice has.
        let status = unsafe { raw::tj3DecompressHeader(handle, file.as_ptr(), file.len() as _) };
        self.checked(status)?;
        // SAFETY: a number of the header that was read.
        let parameter = |name: raw::TJPARAM| unsafe { raw::tj3Get(handle, name as c_int) };
        let length =
            |name| usize::try_from(parameter(name)).map_err(|_| "it has no size".to_owned());
        let height = length(raw::TJPARAM_TJPARAM_JPEGHEIGHT)?;
        let width = length(raw::TJPARAM_TJPARAM_JPEGWIDTH)?;
        let together = match parameter(raw::TJPARAM_TJPARAM_SUBSAMP) {
            raw::TJSAMP_TJSAMP_444
            | raw::TJSAMP_TJSAMP_GRAY
            | raw::TJSAMP_TJSAMP_440
            | raw::TJSAMP_TJSAMP_441 => Some(8),
            raw::TJSAMP_TJSAMP_422 | raw::TJSAMP_TJSAMP_420 => Some(16),
            raw::TJSAMP_TJSAMP_411 => Some(32),
            _ => None,
        };
        let is_lossless = parameter(raw::TJPARAM_TJPARAM_LOSSLESS) != 0;
        let colours = parameter(raw::TJPARAM_TJPARAM_COLORSPACE) as raw::TJCS;
        Ok(Header { size: [height, width], colours, together: together.filter(|_| !is_lossless) })
    }

    /// Writes the pixels of an area of a picture of this size, whose header was read last.
    fn decompress(
        &mut self,
        file: &[u8],
        area: Area,
        size: [usize; 2],
        pixels: &mut [u8],
    ) -> Result<(), String> {
        let handle = self.0.as_ptr();
        // Zeros stand for the whole.
        let part = if area == Area::whole(size) { Area::whole([0; 2]) } else { area };
        // No side is longer than `LARGEST_SIDE`.
        let [x, y, w, h] = [part.left, part.top, part.width, part.height].map(|n| n as c_int);
        // SAFETY: it only keeps the numbers, and refuses those outside of the picture.
        let status = unsafe { raw::tj3SetCroppingRegion(handle, raw::tjregion { x, y, w, h }) };
        self.checked(status)?;
        assert_eq!(pixels.len(), 3 * area.height * area.width, "room for the area");
        let pitch = 3 * area.width as c_int;
        let format = raw::TJPF_TJPF_RGB as c_int;
        let (bytes, length, out) = (file.as_ptr(), file.len() as _, pixels.as_mut_ptr());
        // SAFETY: `area.height` lines of `pitch` bytes are written, as many as there are. The library reads
        // the header again, from the same bytes: the picture has the size that was checked.
        let status = unsafe { raw::tj3Decompress8(handle, bytes, length, out, pitch, format) };
        self.checked(status)
    }

    fn checked(&mut self, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: a text of the instance, which ends with a zero.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.0.as_ptr())) };
        Err(text.to_string_lossy().into_owned())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `tj3Init`, and not used again.
        unsafe { raw::tj3Destroy(self.0.as_ptr()) };
    }
}
