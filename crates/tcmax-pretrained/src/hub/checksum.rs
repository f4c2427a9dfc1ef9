//! Checksums of the hub's files: SHA-256 of large ones, git's object number of small ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What a file's bytes must give, as lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// Of the bytes.
    Sha256(String),
    /// SHA-1 of "blob LENGTH\0" and the bytes: how git numbers contents. It tells damage, not malice.
    Git(String),
}

impl Checksum {
    /// The checksum that an entity tag of the hub is.
    pub(super) fn of_etag(etag: &str) -> Option<Self> {
        let is_hexadecimal = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match etag.len() {
            64 if is_hexadecimal => Some(Self::Sha256(etag.to_lowercase())),
            40 if is_hexadecimal => Some(Self::Git(etag.to_lowercase())),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> &str {
        let (Self::Sha256(text) | Self::Git(text)) = self;
        text
    }

    /// The same checksum of a file.
    pub(super) fn of_file(&self, path: &Path) -> Result<String> {
        match self {
            Self::Sha256(_) => digest(path, Sha256::new()),
            Self::Git(_) => {
                let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
                digest(path, Sha1::new_with_prefix(format!("blob {length}\0")))
            }
        }
    }
}

fn digest(path: &Path, mut digest: impl Digest) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io(path))?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_git_and_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "hello\n").unwrap();
        // `git hash-object a` and `sha256sum a`
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for wanted in [git, sha256] {
            let checksum = Checksum::of_etag(wanted).unwrap();
            assert_eq!(checksum.of_file(&path).unwrap(), wanted);
        }
        assert_eq!(Checksum::of_etag("abc"), None);
        assert_eq!(Checksum::of_etag(&"x".repeat(40)), None);
    }
}
