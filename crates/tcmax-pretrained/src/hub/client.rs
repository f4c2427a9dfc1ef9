//! Requests to the hub, and what is known of a file before its download.

use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::checksum::Checksum;
use crate::error::{Error, Result};

/// A server that sends nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(30);
/// So many redirections on the hub itself are followed.
const REDIRECTIONS: usize = 5;

pub(super) struct Client {
    pub(super) endpoint: String,
    token: Option<String>,
    /// Follows no redirection.
    asking: Agent,
    /// Follows redirections, to other machines without the token.
    pub(super) fetching: Agent,
}

/// What is known of a file before its download.
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) checksum: Option<Checksum>,
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
        let text = |key: &str| headers.iter().find_map(|map| map.get(key)?.to_str().ok());
        // A mirror without a listing has no commit, and the revision stands for it.
        let is_commit = commit != stand_in(revision);
        if let Some(other) = text("x-repo-commit").filter(|other| is_commit && *other != commit) {
            let problem = format!(
                "the file is of commit {other}, the listing of {commit}: the repository is being changed, \
                 try again"
            );
            return Err(Error::Download { url, problem });
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

    pub(super) fn address(&self, repository: &str, revision: &str, name: &str) -> String {
        let (revision, name) = (encoded(revision, ""), encoded(name, "/"));
        format!("{}/{repository}/resolve/{revision}/{name}", self.endpoint)
    }

    /// A GET request; listings of renamed repositories are redirected.
    pub(super) fn get(&self, url: &str) -> Result<Response<Body>> {
        self.ask(url, || self.with_headers(self.fetching.get(url)).call())
    }

    pub(super) fn head(&self, url: &str) -> Result<Response<Body>> {
        self.ask(url, || self.with_headers(self.asking.head(url)).call())
    }

    /// Asks once more if no answer comes: a server may have closed a connection that was kept for this.
    fn ask(
        &self,
        url: &str,
        request: impl Fn() -> std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>> {
        request().or_else(|_| request()).map_err(|error| broken(url, &error))
    }
}

pub(super) fn is_missing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 501)
}

/// Whether a server does not know an address, without being the hub and saying why.
pub(super) fn is_unknown(response: &Response<Body>) -> bool {
    is_missing(response.status()) && !response.headers().contains_key("x-error-code")
}

/// Makes an error of an answer that is none.
pub(super) fn refuse(
    response: &Response<Body>,
    url: &str,
    repository: &str,
    revision: &str,
) -> Result<()> {
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

pub(super) fn not_found(url: &str, repository: &str, revision: &str, code: Option<&str>) -> Error {
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
pub(super) fn broken(url: &str, error: &ureq::Error) -> Error {
    let problem = format!(
        "{}; try again, set HF_HUB_OFFLINE=1 to use what was downloaded before, or name a folder with the \
         files",
        reason(error)
    );
    Error::Download { url: url.to_owned(), problem }
}

/// Whether a text from a server may be the name of a file in the cache.
pub(super) fn is_plain(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=128).contains(&text.len()) && text.chars().all(known) && !text.starts_with('.')
}

/// What stands for the commit where a server names none.
pub(super) fn stand_in(revision: &str) -> String {
    revision.replace('/', "-")
}

/// The scheme and the machine of an address.
fn origin(endpoint: &str) -> &str {
    let start = endpoint.find("://").map_or(0, |index| index + 3);
    let end = endpoint[start..].find('/').map_or(endpoint.len(), |index| start + index);
    &endpoint[..end]
}

/// A part of an address; `also` are characters that stay as they are.
pub(super) fn encoded(text: &str, also: &str) -> String {
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

/// Why a request or the reading of its answer failed.
pub(super) fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect) => "no connection in time".to_owned(),
        ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
            "the server stopped sending".to_owned()
        }
        error => format!("the connection broke ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encoded("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b/ü.bin", "/"), "a%20b/%C3%BC.bin");
        assert_eq!(origin("http://x:1/mirror"), "http://x:1");
        assert_eq!(origin("https://x"), "https://x");
    }
}
