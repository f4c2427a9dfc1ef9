//! NumPy's npz format: a zip archive of npy files.
//!
//! Sizes that the archive declares are checked before anything is unpacked, and each member is read
//! twice: once to see that it has its declared length and checksum, once to convert it as it is
//! unpacked. So a damaged or lying member never takes memory, and no unpacked copy is kept.

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::array::Array;
use super::npy;
use crate::error::{Error, Result};

/// Compressed members may unpack to this many bytes,
const ROOM: u64 = 256 << 20;
/// and to so many more for each byte of the file. Real features compress a few times; more is
/// an archive bomb or better kept uncompressed.
const ROOM_PER_BYTE: u64 = 32;

/// Every npy member of a zip file of `length` bytes, in the order of the archive.
pub(super) fn read(path: &Path, file: impl Read + Seek, length: u64) -> Result<Vec<Array>> {
    let bad = |problem: String| Error::bad_file(path, problem);
    let mut archive =
        ZipArchive::new(file).map_err(|e| bad(format!("not a readable npz (zip) file: {e}")))?;
    if archive.has_duplicate_names() {
        let problem = "two members have the same name; save it again with one array a name";
        return Err(bad(problem.to_owned()));
    }
    check_sizes(path, &mut archive, length)?;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let Some(name) = npy_name(path, &mut archive, index)? else { continue };
        check_content(path, &mut archive, index)?;
        let (mut content, declared) = content(path, &mut archive, index)?;
        arrays.push(npy::read(path, name, &mut content, declared)?);
    }
    let names: BTreeSet<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
    if names.len() != arrays.len() {
        return Err(bad("two arrays have the same name".to_owned()));
    }
    Ok(arrays)
}

/// The names of the npy members of a zip file.
pub(super) fn names(path: &Path, file: impl Read + Seek) -> Result<Vec<String>> {
    let archive = ZipArchive::new(file)
        .map_err(|e| Error::bad_file(path, format!("not a readable npz (zip) file: {e}")))?;
    let names = archive.file_names().filter_map(std::result::Result::ok);
    Ok(names.filter_map(|name| Some(name.strip_suffix(".npy")?.to_owned())).collect())
}

/// What all members together declare must be plausible for a file of `length` bytes.
fn check_sizes<R: Read + Seek>(
    path: &Path,
    archive: &mut ZipArchive<R>,
    length: u64,
) -> Result<()> {
    let most = ROOM.saturating_add(ROOM_PER_BYTE.saturating_mul(length));
    let mut declared = 0u64;
    for index in 0..archive.len() {
        let member =
            archive.by_index_raw(index).map_err(|e| Error::bad_file(path, e.to_string()))?;
        declared = declared.saturating_add(member.size());
        let stored = member.compression() == CompressionMethod::STORE;
        if stored && member.size() != member.compressed_size() {
            let name = member.name().unwrap_or_default();
            let problem = format!("'{name}' declares two lengths; the archive is damaged");
            return Err(Error::bad_file(path, problem));
        }
    }
    if declared <= most {
        return Ok(());
    }
    let problem = format!(
        "its {length} bytes unpack to {declared}, more than the {most} that are read; save the arrays \
         uncompressed, with numpy.savez, or as safetensors"
    );
    Err(Error::bad_file(path, problem))
}

/// The array's name, if a member is one.
fn npy_name<R: Read + Seek>(
    path: &Path,
    archive: &mut ZipArchive<R>,
    index: usize,
) -> Result<Option<String>> {
    let member = archive.by_index_raw(index).map_err(|e| Error::bad_file(path, e.to_string()))?;
    let name = member.name().map_err(|e| Error::bad_file(path, e.to_string()))?;
    Ok(name.strip_suffix(".npy").map(str::to_owned))
}

/// A member as it is unpacked, and its declared length.
fn content<'a, R: Read + Seek>(
    path: &Path,
    archive: &'a mut ZipArchive<R>,
    index: usize,
) -> Result<(Box<dyn Read + 'a>, u64)> {
    let member = archive.by_index_raw(index).map_err(|e| Error::bad_file(path, e.to_string()))?;
    let declared = member.size();
    // The archive library is built without decompression; flate2 is here anyway.
    let reader: Box<dyn Read + 'a> = match member.compression() {
        CompressionMethod::STORE => Box::new(member),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(member)),
        other => {
            let name = member.name().unwrap_or_default();
            let problem = format!("'{name}' is compressed by {other}; use numpy.savez");
            return Err(Error::bad_file(path, problem));
        }
    };
    Ok((reader, declared))
}

/// Unpacks a member and keeps nothing: it must have its declared length and checksum.
fn check_content<R: Read + Seek>(
    path: &Path,
    archive: &mut ZipArchive<R>,
    index: usize,
) -> Result<()> {
    let wanted = {
        let member =
            archive.by_index_raw(index).map_err(|e| Error::bad_file(path, e.to_string()))?;
        member.crc32()
    };
    let name = npy_name(path, archive, index)?.unwrap_or_default();
    let bad = |problem: String| Error::bad_file(path, format!("'{name}' {problem}"));
    let (content, declared) = content(path, archive, index)?;
    // One byte more than declared tells an honest end from a cut one.
    let mut content = content.take(declared.saturating_add(1));
    let mut crc = Crc::new();
    let mut buffer = [0; 1 << 16];
    loop {
        let count =
            content.read(&mut buffer).map_err(|e| bad(format!("cannot be unpacked: {e}")))?;
        if count == 0 {
            break;
        }
        crc.update(&buffer[..count]);
    }
    if content.limit() != 1 {
        return Err(bad(format!(
            "does not unpack to the {declared} bytes it declares; the archive is damaged"
        )));
    }
    if crc.sum() != wanted {
        return Err(bad("has another checksum than the archive says; it is damaged".to_owned()));
    }
    Ok(())
}
