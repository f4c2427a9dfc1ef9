//! Pictures that are refused before their pixels are allocated.

use tcmax_data::Area;

/// Pixels of a side, at most.
pub(super) const LARGEST_SIDE: usize = 20_000;
/// Bytes of pixels, at most.
pub(super) const MOST_BYTES: u64 = 1 << 30;
/// Bytes of pixels that one byte of a file can describe: the compression of PNG makes 1,032 bytes of one,
/// and pixels of one bit become whole bytes. JPEG has at least one bit for 64 pixels.
const MOST_PER_BYTE: u64 = 8 * 1_032;

/// Checks before its pixels are allocated that a file can hold them, and memory, too.
pub(super) fn plausible(file: &[u8], bytes: u64) -> Result<(), String> {
    if bytes > MOST_BYTES {
        return Err(format!("its pixels take {bytes} bytes; {MOST_BYTES} are the most"));
    }
    let most = file.len() as u64 * MOST_PER_BYTE;
    match bytes > most {
        true => Err(format!("{} bytes cannot hold {bytes} bytes of pixels", file.len())),
        false => Ok(()),
    }
}

/// Makes room for the pixels of an area, red, green and blue, if the file can hold the picture's, (height, width).
pub(super) fn sized(
    file: &[u8],
    size: [usize; 2],
    area: Area,
    pixels: &mut Vec<u8>,
) -> Result<(), String> {
    plausible(file, size.iter().fold(3, |product, &n| product * n as u64))?;
    pixels.resize(3 * area.height * area.width, 0);
    Ok(())
}
