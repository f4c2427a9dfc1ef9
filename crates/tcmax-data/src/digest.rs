//! SHA-256 digests in hexadecimal.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 16;

/// SHA-256 of bytes, hexadecimal.
///
/// ```
/// assert!(tcmax_data::sha256_of(b"").starts_with("e3b0c442"));
/// ```
pub fn sha256_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of everything that is read, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_reader(mut reader: impl Read) -> std::io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    File::open(path).and_then(sha256_of_reader).map_err(Error::io(path))
}

/// Bytes as two hexadecimal digits each.
///
/// ```
/// assert_eq!(tcmax_data::hexadecimal(&[0, 171]), "00ab");
/// ```
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
