//! The folder of one repository in the cache.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub(super) struct Cache {
    /// The folder of all repositories.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only downloads take locks"))]
    root: PathBuf,
    /// Its name, `models--OWNER--NAME`.
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only downloads take locks"))]
    name: String,
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path, repository: &str) -> Self {
        let name = format!("models--{}", repository.replace('/', "--"));
        Self { root: root.to_owned(), folder: root.join(&name), name }
    }

    /// Where a file of a commit is, or will be.
    pub(super) fn path(&self, commit: &str, name: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(name)
    }

    /// The commit that a revision was when it was last asked for, and its files that are here.
    pub(super) fn commit(&self, revision: &str) -> Result<Option<(String, Vec<String>)>> {
        let remembered = std::fs::read_to_string(self.folder.join("refs").join(revision));
        let commit = remembered.map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
        let folder = self.folder.join("snapshots").join(&commit);
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut names = Vec::new();
        collect(&folder, "", &mut names)?;
        names.sort();
        Ok(Some((commit, names)))
    }
}

/// The names of all files under a folder, as the hub writes them.
fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), names)?;
        } else if path.is_file() {
            names.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

#[cfg(feature = "hub")]
impl Cache {
    /// Writes down which commit a revision is.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        let path = self.folder.join("refs").join(revision);
        let is_known = std::fs::read_to_string(&path).is_ok_and(|known| known.trim() == commit);
        if is_known || revision == commit {
            return Ok(());
        }
        make_parent(&path)?;
        let whole = path.with_extension(format!("{}.part", std::process::id()));
        std::fs::write(&whole, commit).map_err(Error::io(&whole))?;
        std::fs::rename(&whole, &path).map_err(Error::io(&path))
    }

    /// Keeps other programs from downloading the same content, until the value is dropped. (The hub's
    /// Python library locks the same file.) Where a file system has no locks, nothing is kept.
    pub(super) fn lock(&self, key: &str) -> Result<std::fs::File> {
        let path = self.root.join(".locks").join(&self.name).join(format!("{key}.lock"));
        make_parent(&path)?;
        let file = std::fs::File::create(&path).map_err(Error::io(&path))?;
        _ = file.lock();
        Ok(file)
    }

    /// Where a content is, or will be.
    pub(super) fn blob(&self, key: &str) -> Result<PathBuf> {
        let path = self.folder.join("blobs").join(key);
        make_parent(&path)?;
        Ok(path)
    }

    /// Gives a content the name of a file of a commit.
    pub(super) fn link(&self, commit: &str, name: &str, blob: &Path) -> Result<()> {
        let path = self.path(commit, name);
        if path.is_file() {
            return Ok(());
        }
        make_parent(&path)?;
        #[cfg(unix)]
        {
            // What was there led nowhere.
            _ = std::fs::remove_file(&path);
            let up = "../".repeat(name.matches('/').count() + 2);
            let key = blob.file_name().unwrap_or_default();
            let target = Path::new(&up).join("blobs").join(key);
            if std::os::unix::fs::symlink(target, &path).is_ok() {
                return Ok(());
            }
        }
        std::fs::rename(blob, &path).map_err(Error::io(&path))
    }
}

#[cfg(feature = "hub")]
fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))
}
