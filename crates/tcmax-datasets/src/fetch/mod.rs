//! Where the files of a data set come from: a folder of the user, or a verified download into the cache.

mod digest;
mod download;
#[cfg(feature = "hub")]
mod hub;

use std::path::{Path, PathBuf};

use tcmax_data::Error as DataError;

use crate::catalog::{DatasetCard, RemoteFile, card};
use crate::error::Result;

pub use tcmax_pretrained::{DownloadProgress, NoProgress};

/// The folder that holds a data set's files.
///
/// With `data_dir`, that folder, whose files are checked when they are read. Without, a folder of the
/// user's cache, into which missing files are downloaded and checked.
///
/// # Errors
/// When the folder does not exist, there is no cache folder, or a download fails or has another
/// checksum; partial downloads stay and are resumed.
pub fn locate(
    card: &DatasetCard,
    data_dir: Option<&Path>,
    progress: &dyn DownloadProgress,
) -> Result<PathBuf> {
    if let Some(folder) = data_dir {
        if folder.is_dir() {
            return Ok(folder.to_owned());
        }
        let fix = format!(
            "name the folder with the files of '{}' ({}) in `data-dir`, or leave it out to download them",
            card.name,
            card.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ")
        );
        return Err(DataError::Missing { path: folder.to_owned(), fix }.into());
    }
    let folder = cache_folder()?.join(&card.name);
    fetch_into(card, &folder, progress)?;
    Ok(folder)
}

/// Downloads what is missing of a data set's files into `folder`.
///
/// # Errors
/// As [`locate`].
pub fn fetch_into(
    card: &DatasetCard,
    folder: &Path,
    progress: &dyn DownloadProgress,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    for file in &card.files {
        // Files get their name only after their checksum was right.
        if !folder.join(&file.name).exists() {
            fetch_file(file, folder, progress)?;
        }
    }
    Ok(())
}

fn fetch_file(file: &RemoteFile, folder: &Path, progress: &dyn DownloadProgress) -> Result<()> {
    let mut failure = None;
    for url in &file.urls {
        match download::download(file, url, folder, progress) {
            Ok(()) => return Ok(()),
            Err(error) => failure = Some(error),
        }
    }
    #[cfg(feature = "hub")]
    if let Some(source) = file.hub {
        return hub::fetch(source, file, folder);
    }
    Err(failure.unwrap_or_else(|| {
        let fix = "the card names no source; put the file there".to_owned();
        DataError::Missing { path: folder.join(&file.name), fix }.into()
    }))
}

/// Whether the cache holds all files of the data set called `name`.
pub fn is_cached(name: &str) -> bool {
    let (Some(card), Ok(cache)) = (card(name), cache_folder()) else { return false };
    card.files.iter().all(|file| cache.join(name).join(&file.name).exists())
}

/// The folder of this program in the user's cache.
///
/// # Errors
/// When the system names no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "tcmax");
    folders.map(|folders| folders.cache_dir().to_owned()).ok_or_else(|| {
        let fix = "set HOME, or name the folder of the data in `data-dir`".to_owned();
        DataError::Missing { path: PathBuf::from("the user's cache folder"), fix }.into()
    })
}
