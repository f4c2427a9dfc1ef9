//! Which files a repository has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{
    Client, broken, encoded, is_missing, is_plain, is_unknown, not_found, refuse, stand_in,
};
use crate::error::{Error, Result};
use crate::file::BESIDE;

/// Most bytes of a listing.
const LISTING: u64 = 64 << 20;

/// The files of a repository.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
    pub(super) sha256: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Client {
    /// The files of a repository at a revision.
    pub(super) fn list(&self, repository: &str, revision: &str) -> Result<Listing> {
        let base = format!("{}/api/models/{repository}", self.endpoint);
        let url = format!("{base}/revision/{}?blobs=true", encoded(revision, ""));
        let mut response = self.get(&url)?;
        if is_unknown(&response) && revision == "main" {
            response = self.get(&format!("{base}?blobs=true"))?;
        }
        if is_unknown(&response) {
            // A mirror of the files alone.
            return self.probe(repository, revision, &url);
        }
        refuse(&response, &url, repository, revision)?;
        let body = response.body_mut().with_config().limit(LISTING).read_to_vec();
        let body = body.map_err(|error| broken(&url, &error))?;
        let info: Info = serde_json::from_slice(&body).map_err(|error| Error::Download {
            url: url.clone(),
            problem: format!("not the listing of a repository ({error}); check HF_ENDPOINT"),
        })?;
        let commit = info.sha.unwrap_or_else(|| stand_in(revision));
        if !is_plain(&commit) {
            let problem = format!("its commit '{commit}' is not one; check HF_ENDPOINT");
            return Err(Error::Download { url, problem });
        }
        let safe = info.siblings.into_iter().filter(|file| is_inside(&file.rfilename));
        let mut listing = Listing { commit, names: Vec::new(), sha256: BTreeMap::new() };
        for file in safe {
            let sha256 = file.lfs.and_then(|lfs| lfs.sha256).filter(|sum| sum.len() == 64);
            if let Some(sha256) = sha256 {
                listing.sha256.insert(file.rfilename.clone(), sha256.to_lowercase());
            }
            listing.names.push(file.rfilename);
        }
        Ok(listing)
    }

    /// Which of the usual files there are, asked for one by one.
    fn probe(&self, repository: &str, revision: &str, listing: &str) -> Result<Listing> {
        const WEIGHTS: [&str; 4] = [
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
        ];
        let (mut names, mut commit) = (Vec::new(), None);
        for name in WEIGHTS.into_iter().chain(BESIDE) {
            let response = self.head(&self.address(repository, revision, name))?;
            if !is_missing(response.status()) {
                let header = response.headers().get("x-repo-commit");
                let of = header.and_then(|commit| commit.to_str().ok()).map(str::to_owned);
                commit = commit.or(of.filter(|commit| is_plain(commit)));
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            return Err(not_found(listing, repository, revision, None));
        }
        let commit = commit.unwrap_or_else(|| stand_in(revision));
        Ok(Listing { commit, names, sha256: BTreeMap::new() })
    }
}

/// Whether the path of a file stays inside the folder of its repository.
fn is_inside(name: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    !name.contains(['\\', ':', '\0']) && name.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_server_stay_inside() {
        for name in ["../a", "a/../b", "/a", "a//b", "..", "C:\\x", "a\\b", ""] {
            assert!(!is_inside(name), "{name}");
        }
        assert!(is_inside("a/b.c") && is_plain("abc123") && !is_plain("..") && !is_plain("a/b"));
    }
}
