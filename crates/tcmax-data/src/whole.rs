//! Files that appear under their name only when complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file under another name, `path` with `.part` added, then renames it. Where that fails, on
/// a full disk above all, nothing is left behind.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial_path(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|source| {
        // If it cannot be removed either, the next attempt overwrites it.
        let _ = std::fs::remove_file(&partial);
        Error::io(path)(source)
    })
}

/// A file that is written bit by bit and has its name only once [`WholeFile::finish`] was called. Dropped
/// before, it leaves nothing behind.
///
/// ```
/// use std::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("numbers.csv");
/// let mut file = tcmax_data::WholeFile::create(&path)?;
/// file.write_all(b"1\n2\n")?;
/// assert!(!path.exists());
/// file.finish()?;
/// assert_eq!(std::fs::read(&path)?, b"1\n2\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    /// `None` once it has its name.
    file: Option<BufWriter<File>>,
}

impl WholeFile {
    /// Starts the file under its other name, `path` with `.part` added.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(partial_path(path)).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file: Some(BufWriter::new(file)) })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When what is left to write cannot be written.
    pub fn finish(mut self) -> Result<()> {
        let finish = |file: &mut BufWriter<File>, path: &Path| {
            file.flush()?;
            file.get_ref().sync_all()?;
            std::fs::rename(partial_path(path), path)
        };
        if let Some(file) = &mut self.file {
            finish(file, &self.path).map_err(Error::io(&self.path))?;
        }
        self.file = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // What is buffered belongs to a file that nobody will read.
            let _ = file.into_parts();
            let _ = std::fs::remove_file(partial_path(&self.path));
        }
    }
}

/// The name under which [`write_whole`] writes `path`: what a killed process may leave.
pub fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert!(!partial_path(&path).exists());
    }

    #[test]
    fn what_cannot_take_its_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        let error = write_whole(&path, b"bytes").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert!(!partial_path(&path).exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_whole(&path, b"first").unwrap();
        // Every write to this device fails as on a full disk.
        std::os::unix::fs::symlink("/dev/full", partial_path(&path)).unwrap();
        let error = write_whole(&path, b"second").unwrap_err();
        assert!(error.to_string().contains("x.json: No space left"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert!(partial_path(&path).symlink_metadata().is_err(), "the part file is left");
    }
}
