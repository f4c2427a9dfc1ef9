//! Repositories of the Hugging Face hub, in the cache that its other programs use.
//!
//! The cache has `models--OWNER--NAME/refs/REVISION` (the commit), `blobs/ETAG` (contents, which several
//! commits may share) and `snapshots/COMMIT/FILE` (links to contents). A content has its name only after its
//! checksum was right; `ETAG.incomplete` is what an interrupted download left, and is resumed.

mod cache;
#[cfg(feature = "hub")]
mod checksum;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod listing;
mod progress;
#[cfg(feature = "hub")]
mod transfer;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use cache::Cache;

pub use progress::{DownloadProgress, NoProgress};

/// Where the hub and its cache are, and whether to ask the hub at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
}

impl std::fmt::Debug for Hub {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// As the environment says, in the words of the hub's own programs: `HF_ENDPOINT`; `HF_HUB_CACHE`,
    /// `HF_HOME` or `XDG_CACHE_HOME`; `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`); `HF_TOKEN`,
    /// `HF_TOKEN_PATH` or the file `token` in `HF_HOME`, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
    pub fn from_env() -> Self {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::from_variables(&get)
    }

    fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &str| {
            get(name).is_some_and(|value| {
                ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str())
            })
        };
        let home = get("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let caches = get("XDG_CACHE_HOME").map(PathBuf::from);
            let caches = caches.or_else(|| Some(std::env::home_dir()?.join(".cache")));
            caches.unwrap_or_else(|| PathBuf::from(".cache")).join("huggingface")
        });
        let cache = get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE"));
        let token = get("HF_TOKEN").or_else(|| {
            let path = get("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            std::fs::read_to_string(path).ok()
        });
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: cache.map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.filter(|_| !is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN")),
            offline: is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE"),
        }
    }

    /// The hub at an address, such as `http://localhost:8080`, with a cache folder and without a token.
    pub fn new(endpoint: &str, cache: &Path) -> Self {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Self { endpoint, cache: cache.to_owned(), token: None, offline: false }
    }

    /// Uses the cache alone.
    #[must_use]
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// The files of a repository at a revision.
    pub(crate) fn snapshot(&self, repository: &str, revision: &str) -> Result<Snapshot<'_>> {
        let cache = Cache::new(&self.cache, repository);
        if self.offline {
            let (commit, names) = cache.commit(revision)?.ok_or_else(|| {
                self.offline_error(repository, &format!("no '{repository}' at '{revision}'"))
            })?;
            return Ok(Snapshot::new(self, cache, repository, revision, commit, names));
        }
        self.ask(cache, repository, revision)
    }

    #[cfg(feature = "hub")]
    fn ask(&self, cache: Cache, repository: &str, revision: &str) -> Result<Snapshot<'_>> {
        let client = client::Client::new(&self.endpoint, self.token.as_deref());
        let listing = client.list(repository, revision)?;
        cache.remember(revision, &listing.commit)?;
        let mut snapshot =
            Snapshot::new(self, cache, repository, revision, listing.commit, listing.names);
        snapshot.sha256 = listing.sha256;
        Ok(snapshot)
    }

    #[cfg(not(feature = "hub"))]
    fn ask(&self, _: Cache, repository: &str, _: &str) -> Result<Snapshot<'_>> {
        let problem =
            "this program was built without downloads from the hub (feature `hub`); download \
                       the repository otherwise and name its folder"
                .to_owned();
        Err(Error::Source { weights: format!("hub:{repository}"), problem })
    }

    fn offline_error(&self, repository: &str, what: &str) -> Error {
        let problem = format!(
            "HF_HUB_OFFLINE is set, and the cache {} has {what}; unset it once to download, or name a \
             folder",
            self.cache.display()
        );
        Error::Source { weights: format!("hub:{repository}"), problem }
    }
}

/// The files of one commit.
pub(crate) struct Snapshot<'a> {
    hub: &'a Hub,
    cache: Cache,
    repository: String,
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only downloads need it"))]
    revision: String,
    commit: String,
    names: Vec<String>,
    /// The SHA-256 of large files, where the listing has them.
    #[cfg(feature = "hub")]
    sha256: std::collections::BTreeMap<String, String>,
}

impl<'a> Snapshot<'a> {
    fn new(
        hub: &'a Hub,
        cache: Cache,
        repository: &str,
        revision: &str,
        commit: String,
        names: Vec<String>,
    ) -> Self {
        Self {
            hub,
            cache,
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            commit,
            names,
            #[cfg(feature = "hub")]
            sha256: std::collections::BTreeMap::new(),
        }
    }

    /// The commit's number.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    /// The files there are; offline, those in the cache.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The path of a file in the cache, after it was downloaded and checked if it was not there.
    pub(crate) fn fetch(&self, name: &str, progress: &dyn DownloadProgress) -> Result<PathBuf> {
        let path = self.cache.path(&self.commit, name);
        if path.is_file() {
            return Ok(path);
        }
        if self.hub.offline {
            let what = format!("no file '{name}' of it at commit {}", self.commit);
            return Err(self.hub.offline_error(&self.repository, &what));
        }
        self.download(name, progress)?;
        Ok(path)
    }

    #[cfg(feature = "hub")]
    fn download(&self, name: &str, progress: &dyn DownloadProgress) -> Result<()> {
        let client = client::Client::new(&self.hub.endpoint, self.hub.token.as_deref());
        let mut file = client.look_up(&self.repository, &self.commit, &self.revision, name)?;
        if let Some(sha256) = self.sha256.get(name) {
            file.checksum = Some(checksum::Checksum::Sha256(sha256.clone()));
        }
        let key = match (&file.etag, &file.checksum) {
            (Some(etag), _) => etag.clone(),
            (None, Some(checksum)) => checksum.text().to_owned(),
            (None, None) => format!("{}-{}", self.commit, name.replace('/', "-")),
        };
        let _lock = self.cache.lock(&key)?;
        let blob = self.cache.blob(&key)?;
        if !blob.is_file() {
            client.download(&file, &blob, progress)?;
        }
        self.cache.link(&self.commit, name, &blob)
    }

    #[cfg(not(feature = "hub"))]
    fn download(&self, name: &str, _: &dyn DownloadProgress) -> Result<()> {
        let what = format!("no file '{name}'");
        Err(self.hub.offline_error(&self.repository, &what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        let get = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Hub::from_variables(&get)
    }

    #[test]
    fn the_environment_says_where_things_are() {
        let plain = hub(&[("XDG_CACHE_HOME", "/c")]);
        assert_eq!(plain.cache, Path::new("/c/huggingface/hub"));
        assert_eq!((plain.endpoint.as_str(), plain.offline), ("https://huggingface.co", false));
        let own = hub(&[
            ("HF_HOME", "/h"),
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("HF_HUB_OFFLINE", "True"),
            ("HF_TOKEN", "abc\n"),
        ]);
        assert_eq!(own.cache, Path::new("/h/hub"));
        assert_eq!((own.endpoint.as_str(), own.offline), ("http://localhost:1", true));
        assert_eq!(own.token.as_deref(), Some("abc"));
        assert!(!format!("{own:?}").contains("abc"));
        let other = hub(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x"), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!((other.cache.as_path(), other.offline), (Path::new("/x"), false));
        let without =
            hub(&[("HF_HOME", "/h"), ("HF_TOKEN", "abc"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!(without.token, None);
    }
}
