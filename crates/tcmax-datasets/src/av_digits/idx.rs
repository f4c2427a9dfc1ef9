//! MNIST's IDX files: a big-endian header, then bytes.
//!
//! `candle_datasets::vision::mnist::load_dir` wants all four files unpacked and allocates whatever
//! a header says; here the two test files are read as they are published, packed, and a header is
//! checked before anything is allocated.

use std::io::{Read, Seek};
use std::path::Path;

use flate2::read::GzDecoder;
use tcmax_data::{Error, Result, file};

use super::files::find;

/// Pixels on a side of every image.
pub(super) const SIDE: usize = 28;
const IMAGES_MAGIC: u32 = 0x803;
const LABELS_MAGIC: u32 = 0x801;
/// MNIST itself has 60,000 images at most; more is a broken header or an archive bomb.
const MOST_ITEMS: usize = 100_000;

pub(super) struct Images {
    /// Pixels in [0, 1], image after image.
    pub(super) pixels: Vec<f32>,
    /// One digit per image.
    pub(super) labels: Vec<u8>,
}

pub(super) fn read(folder: &Path) -> Result<Images> {
    let images = find(folder, &["t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"])?;
    let labels = find(folder, &["t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte"])?;
    let pixels = read_items(&images, IMAGES_MAGIC, &[SIDE, SIDE])?;
    let digits = read_items(&labels, LABELS_MAGIC, &[])?;
    let count = pixels.len() / (SIDE * SIDE);
    if count != digits.len() {
        let problem =
            format!("{} labels for the {count} images of {}", digits.len(), images.display());
        return Err(Error::bad_file(&labels, problem + "; fetch both files again"));
    }
    if let Some(row) = digits.iter().position(|&digit| digit > 9) {
        let problem = format!("row {row}: label {} is not a digit", digits[row]);
        return Err(Error::bad_file(&labels, problem));
    }
    let pixels = pixels.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    Ok(Images { pixels, labels: digits })
}

fn read_items(path: &Path, magic: u32, item: &[usize]) -> Result<Vec<u8>> {
    idx_items(path, open(path)?, magic, item)
}

/// The bytes after the header \[magic, count, item dimensions...\]; `path` is what errors call it.
///
/// # Errors
/// When the header is another, promises too much, or the bytes end early.
pub fn idx_items(
    path: &Path,
    mut reader: impl Read,
    magic: u32,
    item: &[usize],
) -> Result<Vec<u8>> {
    let mut header = |what: &str| -> Result<u32> {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(|e| truncated(path, what, &e))?;
        Ok(u32::from_be_bytes(word))
    };
    let found = header("its magic number")?;
    if found != magic {
        let problem = format!(
            "its magic number is {found:#010x}, an IDX file of this kind has {magic:#010x}; fetch \
             the file again"
        );
        return Err(Error::bad_file(path, problem));
    }
    let count = header("its number of items")? as usize;
    for &wanted in item {
        let size = header("its dimensions")? as usize;
        if size != wanted {
            let problem = format!("items have a side of {size}, wanted {wanted}");
            return Err(Error::bad_file(path, problem));
        }
    }
    if count == 0 || count > MOST_ITEMS {
        let problem = format!("its header promises {count} items; wanted 1 to {MOST_ITEMS}");
        return Err(Error::bad_file(path, problem));
    }
    let length = count * item.iter().product::<usize>();
    let mut bytes = Vec::new();
    let taken = reader.take(length as u64).read_to_end(&mut bytes);
    taken.map_err(|e| truncated(path, "its items", &e))?;
    if bytes.len() < length {
        let problem = format!("it ends after {} of {length} bytes; fetch it again", bytes.len());
        return Err(Error::bad_file(path, problem));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let (mut file, _) = file::open(path, "one of MNIST's files")?;
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start).map_err(Error::io(path))?;
    file.rewind().map_err(Error::io(path))?;
    let file = std::io::BufReader::new(file);
    let packed = start == [0x1f, 0x8b];
    Ok(if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

fn truncated(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::bad_file(path, format!("it ends within {what} ({error}); fetch it again"))
}
