//! What is at a path.

use std::path::{Path, PathBuf};

use super::csv_features::is_feature_table;
use crate::error::{Error, Result};
use crate::file::{self, ending};
use crate::shards::PREPARED_FILE;

/// What there is at a path, by names and first lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Shards and their manifest, as `tcmax prepare` leaves them.
    Prepared(PathBuf),
    /// One file with one array per modality: `.safetensors` or `.npz`.
    FeatureFile(PathBuf),
    /// One CSV file of features per modality.
    FeatureTables {
        /// The folder, or the single file.
        path: PathBuf,
    },
    /// A table that names media files: `.csv`, `.tsv` or `.parquet`.
    Manifest(PathBuf),
}

impl Layout {
    /// Looks at a file or folder.
    ///
    /// # Errors
    /// When there is nothing, or nothing that can be read.
    pub fn of(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            let problem = "is not given; name a file or folder";
            return Err(Error::option("path", problem));
        }
        if path.is_dir() {
            return of_folder(path);
        }
        file::check(path, "check the path, or see `tcmax datasets` for names")?;
        let path = path.to_owned();
        match ending(&path).as_str() {
            "safetensors" | "npz" => Ok(Self::FeatureFile(path)),
            "parquet" => Ok(Self::Manifest(path)),
            "csv" | "tsv" if is_feature_table(&path)? => Ok(Self::FeatureTables { path }),
            "csv" | "tsv" => Ok(Self::Manifest(path)),
            _ => Err(Error::bad_file(
                &path,
                "unknown kind of file; give a .safetensors or .npz file of features, a .csv, .tsv or \
                 .parquet manifest, a folder of .csv feature tables, or what `tcmax prepare` wrote",
            )),
        }
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Prepared(_) => "prepared clips in shards",
            Self::FeatureFile(_) => "a feature file with one array per modality",
            Self::FeatureTables { .. } => "feature tables, one CSV per modality, label last",
            Self::Manifest(_) => "a manifest of media files",
        }
    }
}

fn of_folder(folder: &Path) -> Result<Layout> {
    if folder.join(PREPARED_FILE).is_file() {
        return Ok(Layout::Prepared(folder.to_owned()));
    }
    for name in ["manifest.csv", "manifest.tsv", "manifest.parquet"] {
        let manifest = folder.join(name);
        if manifest.is_file() {
            return Ok(Layout::Manifest(manifest));
        }
    }
    let nested = ["train", "test"].iter().all(|name| folder.join(name).is_dir());
    let tables = std::fs::read_dir(if nested { folder.join("train") } else { folder.to_owned() })
        .map_err(Error::io(folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .any(|path| ending(&path) == "csv");
    if tables {
        return Ok(Layout::FeatureTables { path: folder.to_owned() });
    }
    let problem = "nothing here is known: no dataset.json of `tcmax prepare` (an interrupted one is \
                   finished by running it again), no manifest.csv, no .csv feature tables";
    Err(Error::bad_file(folder, problem))
}
