//! Tensors of weight files by name: safetensors and PyTorch's archives, one file or several.
//!
//! Opening a file reads its table alone and checks it against the file's length; a tensor is read when it is
//! asked for. Memory stays near what the largest tensor (of a PyTorch archive: the largest storage) takes.

mod bytes;
mod pickle;
mod pth;
mod safetensors;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::file;
use bytes::Bytes;

/// One opened file.
enum Archive {
    Safetensors(safetensors::File),
    Pth(pth::File),
}

/// Where a tensor is, or why it cannot be read.
#[derive(Debug)]
struct Entry {
    file: usize,
    shape: Vec<usize>,
    /// The problem of an entry that is no tensor, or of a type that candle lacks.
    problem: Option<String>,
}

/// The tensors of one set of weights.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_pretrained::Tensors;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.safetensors");
/// # let weight = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// # candle_core::safetensors::save(&[("fc.weight", weight)].into(), &path)?;
/// let tensors = Tensors::open(&[path])?;
/// assert_eq!(tensors.names().collect::<Vec<_>>(), ["fc.weight"]);
/// assert_eq!(tensors.shape("fc.weight"), Some(&[2, 2][..]));
/// assert_eq!(tensors.get("fc.weight", DType::F64)?.to_vec2::<f64>()?, [[1.0, 2.0], [3.0, 4.0]]);
/// # Ok(())
/// # }
/// ```
pub struct Tensors {
    files: Vec<(PathBuf, Mutex<Archive>)>,
    entries: BTreeMap<String, Entry>,
}

impl std::fmt::Debug for Tensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = self.files.iter().map(|(path, _)| path);
        f.debug_struct("Tensors").field("files", &files.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Tensors {
    /// Opens one file, or all shards of one set of weights.
    ///
    /// # Errors
    /// When a file is missing, damaged, of an unknown or unsafe format, or a Git LFS pointer, and when two
    /// files have a tensor of the same name; the error names the file.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut all = Self { files: Vec::new(), entries: BTreeMap::new() };
        for path in paths {
            let (file, length) = file::open(path.as_ref())?;
            all.add(path.as_ref(), Box::new(std::io::BufReader::new(file)), length)?;
        }
        Ok(all)
    }

    /// Opens the bytes of one file; `path` is its name in errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let mut all = Self { files: Vec::new(), entries: BTreeMap::new() };
        file::refuse_pointer(path, &bytes)?;
        let length = bytes.len() as u64;
        all.add(path, Box::new(Cursor::new(bytes)), length)?;
        Ok(all)
    }

    fn add(&mut self, path: &Path, mut bytes: Box<dyn Bytes>, length: u64) -> Result<()> {
        let mut start = [0; 4];
        let count = bytes.read(&mut start).map_err(Error::io(path))?;
        bytes.rewind().map_err(Error::io(path))?;
        let (archive, entries) = match &start[..count] {
            [b'P', b'K', ..] => {
                let (file, entries) = pth::open(path, bytes)?;
                (Archive::Pth(file), entries)
            }
            // A pickle of protocol 2 or later.
            [0x80, 2..=5, ..] => return Err(Error::bad_file(path, pth::OLD_FORMAT)),
            _ => {
                let (file, entries) = safetensors::open(path, bytes, length)?;
                (Archive::Safetensors(file), entries)
            }
        };
        let file = self.files.len();
        self.files.push((path.to_owned(), Mutex::new(archive)));
        for (name, (shape, problem)) in entries {
            if let Some(other) = self.entries.insert(name.clone(), Entry { file, shape, problem }) {
                let other = self.files[other.file].0.display();
                let problem = format!("tensor '{name}' is in {other} too; keep one of them");
                return Err(Error::bad_file(path, problem));
            }
        }
        Ok(())
    }

    /// The names of all entries, in order. An entry of a pickle that is no tensor is among them.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let entry = self.entries.get(name)?;
        entry.problem.is_none().then_some(entry.shape.as_slice())
    }

    /// Why an entry cannot be read, for entries that are no tensors.
    pub fn problem(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.problem.as_deref()
    }

    /// Reads a tensor to the CPU, contiguous and converted to `dtype`.
    ///
    /// # Errors
    /// When there is no such tensor, it is of a type that cannot be read, or the file is damaged.
    pub fn get(&self, name: &str, dtype: DType) -> Result<Tensor> {
        let unusable = |problem: String| Error::Tensor { name: name.to_owned(), problem };
        let Some(entry) = self.entries.get(name) else {
            return Err(unusable("the weights have no such tensor".to_owned()));
        };
        let (path, file) = &self.files[entry.file];
        if let Some(problem) = &entry.problem {
            return Err(unusable(format!("{problem} ({})", path.display())));
        }
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, of) = match &mut *file {
            Archive::Safetensors(file) => file.read(path, name)?,
            Archive::Pth(file) => file.read(path, name)?,
        };
        let tensor = Tensor::from_raw_buffer(&bytes, of, &entry.shape, &Device::Cpu)?;
        Ok(tensor.to_dtype(dtype)?)
    }
}
