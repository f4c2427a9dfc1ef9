//! Requests to the hub: which files a repository has, and what is known of each.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::checksum::Checksum;
use crate::error::{Error, Result};
use crate::source::BESIDE;

/// A server that sends nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(30);
/// Most bytes of a listing.
const LISTING: u64 = 64 << 20;
/// So many redirections on the hub itself are followed.
const REDIRECTIONS: usize = 5;

pub(super) struct Client {
    endpoint: String,
    token: Option<String>,
    /// Follows no redirection.
    asking: Agent,
    /// Follows redirections, to other machines without the token.
    pub(super) fetching: Agent,
}

/// The files of a repository.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) names: Vec<String>,
    pub(super) sha256: BTreeMap<String, String>,
}

/// What is known of a file before its download.
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<Checksum>,
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
    pub(super) fn new(endpoint: &str, token: Option<&str>) -> Self {
        let agent = |redirections: u32| -> Agent {
            // The certificates of the system, as other programs use them.
            let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
            Agent::config_builder()
                .timeout_connect(Some(CONNECT))
                .timeout_per_read(Some(PATIENCE))
                .timeout_per_write(Some(PATIENCE))
                .http_status_as_error(false)
                .max_redirects(redirections)
                .max_redirects_will_error(redirections > 0)
                .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
                .tls_config(tls)
                .build()
                .into()
        };
        Self {
            endpoint: endpoint.to_owned(),
            token: token.map(str::to_owned),
            asking: agent(0),
            fetching: agent(10),
        }
    }

    /// The headers of every request.
    pub(super) fn with_headers<T>(
        &self,
        request: ureq::RequestBuilder<T>,
    ) -> ureq::RequestBuilder<T> {
        // Sizes and ranges are those of the file, not of something compressed.
        let request = request.header("accept-encoding", "identity");
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

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
        let commit = info.sha.unwrap_or_else(|| revision.to_owned());
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
        let mut names = Vec::new();
        for name in WEIGHTS.into_iter().chain(BESIDE) {
            let response = self.head(&self.address(repository, revision, name))?;
            if !is_missing(response.status()) {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            return Err(not_found(listing, repository, revision, None));
        }
        let commit = revision.replace('/', "-");
        Ok(Listing { commit, names, sha256: BTreeMap::new() })
    }

    /// What the hub says of a file. It is asked for by commit; mirrors that know revisions alone, by that.
    pub(super) fn look_up(
        &self,
        repository: &str,
        commit: &str,
        revision: &str,
        name: &str,
    ) -> Result<Remote> {
        let by_commit = self.address(repository, commit, name);
        let mut found = self.chain(&by_commit)?;
        let mut url = by_commit;
        if is_unknown(&found.0) && commit != revision {
            url = self.address(repository, revision, name);
            found = self.chain(&url)?;
        }
        let (response, headers) = found;
        refuse(&response, &url, repository, revision)?;
        let text = |key: &str| headers.iter().find_map(|map| Some(map.get(key)?.to_str().ok()?));
        if let Some(other) =
            text("x-repo-commit").filter(|other| *other != commit && is_plain(commit))
        {
            // A probed mirror has no listing, and the revision stands for the commit.
            if revision.replace('/', "-") != commit {
                let problem = format!(
                    "the file is of commit {other}, the listing of {commit}: the repository is being \
                     changed, try again"
                );
                return Err(Error::Download { url, problem });
            }
        }
        let etag = text("x-linked-etag")
            .or_else(|| text("etag"))
            .map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let length = response.status().is_success().then(|| text("content-length")).flatten();
        Ok(Remote {
            name: name.to_owned(),
            url,
            size: text("x-linked-size").or(length).and_then(|size| size.parse().ok()),
            checksum: etag.as_deref().and_then(Checksum::of_etag),
            etag: etag.filter(|etag| is_plain(etag)),
        })
    }

    /// The last answer of the hub itself, and the headers of all its answers. Large files end in a
    /// redirection to another machine, which is followed only to download.
    fn chain(&self, url: &str) -> Result<(Response<Body>, Vec<HeaderMap>)> {
        let (mut url, mut headers) = (url.to_owned(), Vec::new());
        for _ in 0..REDIRECTIONS {
            let response = self.head(&url)?;
            headers.push(response.headers().clone());
            let target = response.headers().get("location").and_then(|target| target.to_str().ok());
            match target.filter(|_| response.status().is_redirection()) {
                Some(target) if target.starts_with('/') && !target.starts_with("//") => {
                    url = format!("{}{target}", origin(&self.endpoint));
                }
                _ => return Ok((response, headers)),
            }
        }
        let problem = "it is redirected again and again; check HF_ENDPOINT".to_owned();
        Err(Error::Download { url, problem })
    }

    fn address(&self, repository: &str, revision: &str, name: &str) -> String {
        let (revision, name) = (encoded(revision, ""), encoded(name, "/"));
        format!("{}/{repository}/resolve/{revision}/{name}", self.endpoint)
    }

    /// A GET request; listings of renamed repositories are redirected.
    fn get(&self, url: &str) -> Result<Response<Body>> {
        self.with_headers(self.fetching.get(url)).call().map_err(|error| broken(url, &error))
    }

    fn head(&self, url: &str) -> Result<Response<Body>> {
        self.with_headers(self.asking.head(url)).call().map_err(|error| broken(url, &error))
    }
}

fn is_missing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 501)
}

/// Whether a server does not know an address, without being the hub and saying why.
fn is_unknown(response: &Response<Body>) -> bool {
    is_missing(response.status()) && !response.headers().contains_key("x-error-code")
}

/// Makes an error of an answer that is none.
fn refuse(response: &Response<Body>, url: &str, repository: &str, revision: &str) -> Result<()> {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
    let url = url.to_owned();
    let problem = match (status.as_u16(), code) {
        (403, _) | (_, Some("GatedRepo")) => format!(
            "'{repository}' asks for consent: accept its terms on the hub, and set HF_TOKEN"
        ),
        (401 | 404, code) => return Err(not_found(&url, repository, revision, code)),
        _ => format!(
            "the server answered {status}; try again later, or name a folder with the files"
        ),
    };
    Err(Error::Download { url, problem })
}

fn not_found(url: &str, repository: &str, revision: &str, code: Option<&str>) -> Error {
    let problem = match code {
        Some("RevisionNotFound") => {
            format!("'{repository}' has no branch, tag or commit '{revision}'")
        }
        Some("EntryNotFound") => format!("'{repository}' has no such file at '{revision}'"),
        _ => format!(
            "there is no repository '{repository}' with a revision '{revision}', or it is private: check \
             the name, or set HF_TOKEN"
        ),
    };
    Error::Download { url: url.to_owned(), problem }
}

/// No answer came.
fn broken(url: &str, error: &ureq::Error) -> Error {
    let problem = format!(
        "{}; try again, set HF_HUB_OFFLINE=1 to use what was downloaded before, or name a folder with the \
         files",
        super::transfer::reason(error)
    );
    Error::Download { url: url.to_owned(), problem }
}

/// Whether a text from a server may be the name of a file in the cache.
fn is_plain(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=128).contains(&text.len()) && text.chars().all(known) && !text.starts_with('.')
}

/// Whether the path of a file stays inside the folder of its repository.
fn is_inside(name: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    !name.contains(['\\', ':', '\0']) && name.split('/').all(is_name)
}

/// The scheme and the machine of an address.
fn origin(endpoint: &str) -> &str {
    let start = endpoint.find("://").map_or(0, |index| index + 3);
    let end = endpoint[start..].find('/').map_or(endpoint.len(), |index| start + index);
    &endpoint[..end]
}

/// A part of an address; `also` are characters that stay as they are.
fn encoded(text: &str, also: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-_.~".contains(c) || also.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
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

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b/ü.bin", "/"), "a%20b/%C3%BC.bin");
        assert_eq!(origin("http://x:1/mirror"), "http://x:1");
        assert_eq!(origin("https://x"), "https://x");
    }
}
