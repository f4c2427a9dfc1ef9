//! Where weights come from: a repository of the hub, a folder or a file.

mod choose;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::file;
use crate::hub::{DownloadProgress, Hub, NoProgress};

/// Where the files of a pretrained network are.
///
/// ```
/// use tcmax_pretrained::Source;
///
/// let source = Source::parse("hub:google/vit-base@main").unwrap();
/// let wanted = Source::Hub {
///     repository: "google/vit-base".to_owned(),
///     revision: Some("main".to_owned()),
///     file: None,
/// };
/// assert_eq!(source, wanted);
/// assert_eq!(source.to_string(), "hub:google/vit-base@main");
/// // One file of a repository that has several.
/// assert!(matches!(Source::parse("hub:a/b/x.pth"), Ok(Source::Hub { file: Some(_), .. })));
/// assert!(matches!(Source::parse("models/resnet18.pth"), Ok(Source::Path(_))));
/// assert!(Source::parse("hub:/b").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A repository of the Hugging Face hub: `hub:owner/name`, `hub:owner/name@revision`, or with one of its
    /// files `hub:owner/name/file@revision`.
    Hub {
        /// `owner/name`.
        repository: String,
        /// A branch, tag or commit; `main` if none is named.
        revision: Option<String>,
        /// The file with the weights, where the repository has several.
        file: Option<String>,
    },
    /// A folder or a file.
    Path(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { repository, revision, file } => {
                write!(f, "hub:{repository}")?;
                if let Some(file) = file {
                    write!(f, "/{file}")?;
                }
                revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
            }
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// The files of a pretrained network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The weights: one file, or all shards of one set.
    pub weights: Vec<PathBuf>,
    /// `config.json`: the sizes of the network.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`; a `tokenizer_config.json` lies beside it, if there is one.
    pub tokenizer: Option<PathBuf>,
    /// `preprocessor_config.json`: how pictures are prepared.
    pub preprocessor: Option<PathBuf>,
    /// The commit, for files of the hub.
    pub commit: Option<String>,
}

impl Source {
    /// Reads `hub:owner/name@revision`, or a path.
    ///
    /// # Errors
    /// When the text is empty, or names no repository behind `hub:`.
    pub fn parse(weights: &str) -> Result<Self> {
        let bad = |problem: &str| {
            Err(Error::Source { weights: weights.to_owned(), problem: problem.to_owned() })
        };
        let Some(id) = weights.strip_prefix("hub:") else {
            if weights.trim().is_empty() {
                return bad("name a folder, a file, or hub:owner/name");
            }
            return Ok(Self::Path(PathBuf::from(weights)));
        };
        let (path, revision) = match id.split_once('@') {
            Some((path, revision)) => (path, Some(revision)),
            None => (id, None),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(known) && !name.chars().all(|c| c == '.')
        };
        if !path.split('/').all(is_name) {
            return bad("write hub:owner/name or hub:owner/name@revision");
        }
        let is_revision = |revision: &str| revision.split('/').all(is_name);
        if revision.is_some_and(|revision| !is_revision(revision)) {
            return bad("what follows @ is no branch, tag or commit");
        }
        let slash = path.match_indices('/').nth(1).map(|(index, _)| index);
        let (repository, file) = match slash {
            Some(slash) => (&path[..slash], Some(path[slash + 1..].to_owned())),
            None => (path, None),
        };
        let revision = revision.map(str::to_owned);
        Ok(Self::Hub { repository: repository.to_owned(), revision, file })
    }

    /// Finds the files, downloading what the cache lacks, as the environment says ([`Hub::from_env`]).
    ///
    /// # Errors
    /// When there are no weights or several sets, or a download fails.
    pub fn open(&self) -> Result<Files> {
        self.open_with(&Hub::from_env(), &NoProgress)
    }

    /// Finds the files with a hub of one's own, and shows downloads.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(&self, hub: &Hub, progress: &dyn DownloadProgress) -> Result<Files> {
        match self {
            Self::Path(path) if path.is_dir() => self.of_folder(path),
            Self::Path(path) => {
                file::open(path)?;
                let folder = path.parent().unwrap_or(Path::new(""));
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.files(folder, &name, None)
            }
            Self::Hub { repository, revision, file } => {
                let revision = revision.as_deref().unwrap_or("main");
                let snapshot = hub.snapshot(repository, revision)?;
                let names = snapshot.names();
                let weights = match file {
                    Some(file) if names.iter().any(|name| name == file) => file.clone(),
                    Some(file) => {
                        return Err(self.error(format!("the repository has no file '{file}'")));
                    }
                    None => self.choose(names)?,
                };
                let fetch = |name: &str| snapshot.fetch(name, progress);
                let path = fetch(&weights)?;
                if choose::is_index(&weights) {
                    for shard in choose::shards(&path)? {
                        fetch(&choose::beside(&weights, &shard))?;
                    }
                }
                for name in file::BESIDE {
                    let name = choose::beside(&weights, name);
                    if names.contains(&name) {
                        fetch(&name)?;
                    }
                }
                let folder = path.parent().unwrap_or(Path::new(""));
                let name = weights.rsplit('/').next().unwrap_or_default();
                self.files(folder, name, Some(snapshot.commit().to_owned()))
            }
        }
    }

    fn of_folder(&self, folder: &Path) -> Result<Files> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            if entry.path().is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        self.files(folder, &self.choose(&names)?, None)
    }

    /// The files of a folder in which `weights` are.
    fn files(&self, folder: &Path, weights: &str, commit: Option<String>) -> Result<Files> {
        let path = folder.join(weights);
        let weights = match choose::is_index(weights) {
            true => choose::shards(&path)?.iter().map(|shard| folder.join(shard)).collect(),
            false => vec![path],
        };
        for path in &weights {
            file::open(path)?;
        }
        let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        Ok(Files {
            weights,
            config: there("config.json"),
            tokenizer: there("tokenizer.json"),
            preprocessor: there("preprocessor_config.json"),
            commit,
        })
    }

    fn choose(&self, names: &[String]) -> Result<String> {
        choose::weights(names).map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: String) -> Error {
        Error::Source { weights: self.to_string(), problem }
    }
}
