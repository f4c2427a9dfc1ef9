//! The data set's files in a folder.

use std::path::{Path, PathBuf};

use tcmax_data::{Error, Result};

/// The first of `names` in `folder` that exists.
pub(super) fn find(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    if !folder.is_dir() {
        return Err(Error::Missing {
            path: folder.to_owned(),
            fix: "name the folder of the data set's files in `data-dir`, or leave it out to \
                  download them"
                .to_owned(),
        });
    }
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| Error::Missing {
        path: folder.join(names[0]),
        fix: format!(
            "put it there (any of: {}), or leave `data-dir` out to download it",
            names.join(", ")
        ),
    })
}
