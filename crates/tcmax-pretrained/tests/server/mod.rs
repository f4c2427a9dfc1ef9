//! A server in the hub's layout, for one repository: listing, files with their headers, ranges; large files
//! are redirected to another address, as the hub redirects them to its store. It can fail on purpose.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const REPOSITORY: &str = "owner/name";

/// What goes wrong with the bodies of large files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection ends after so many bytes of each answer.
    CutAfter(usize),
    /// One byte is another.
    Corrupt,
    /// The server is overloaded.
    Busy,
}

#[derive(Debug)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    pub fault: Fault,
    /// For how many downloads the fault lasts.
    pub faults: usize,
    /// Whether ranges are known.
    pub ranges: bool,
    /// Whether there is a listing.
    pub listing: bool,
    /// Method, path and range of every request.
    pub requests: Vec<(String, String, Option<String>)>,
}

#[derive(Clone)]
pub struct Server {
    pub url: String,
    pub state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        let state = State {
            files: files.collect(),
            fault: Fault::None,
            faults: 0,
            ranges: true,
            listing: true,
            requests: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        let address = url.clone();
        let server = Self { url, state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                let url = address.clone();
                std::thread::spawn(move || _ = answer(stream, &state, &url));
            }
        });
        server
    }

    pub fn fail(&self, fault: Fault, times: usize) {
        let mut state = self.state.lock().unwrap();
        (state.fault, state.faults) = (fault, times);
    }

    /// The ranges of the downloads of large files so far.
    pub fn ranges(&self) -> Vec<Option<String>> {
        let state = self.state.lock().unwrap();
        let stored = state.requests.iter().filter(|(_, path, _)| path.starts_with("/store/"));
        stored.map(|(_, _, range)| range.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }
}

/// Large files: those that git does not keep itself.
fn is_large(name: &str) -> bool {
    !name.ends_with(".json")
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git(bytes: &[u8]) -> String {
    let mut digest = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    digest.update(bytes);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, url: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut range = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((key, value)) if key.eq_ignore_ascii_case("range") => {
                range = Some(value.to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut state = state.lock().unwrap();
    state.requests.push((method.clone(), path.clone(), range.clone()));
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let path = path.as_str();
    let missing = |code: &str| {
        let code = match code {
            "" => String::new(),
            code => format!("X-Error-Code: {code}\r\n"),
        };
        format!("HTTP/1.1 404 Not Found\r\n{code}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let of_repository = rest.strip_prefix(REPOSITORY);
        let known = [format!("/revision/{COMMIT}"), "/revision/main".to_owned(), String::new()];
        let body = match of_repository {
            _ if !state.listing => missing(""),
            None => missing("RepoNotFound"),
            Some(revision) if !known.iter().any(|known| known == revision) => {
                missing("RevisionNotFound")
            }
            Some(_) => {
                let files = state.files.keys().map(|name| format!(r#"{{"rfilename": "{name}"}}"#));
                let files = files.collect::<Vec<_>>().join(", ");
                let body = format!(r#"{{"sha": "{COMMIT}", "siblings": [{files}]}}"#);
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
            }
        };
        return stream.write_all(body.as_bytes());
    }
    if let Some(rest) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/")) {
        let name = rest.split_once('/').map_or("", |(_, name)| name);
        let Some(bytes) = state.files.get(name).cloned() else {
            return stream.write_all(missing("EntryNotFound").as_bytes());
        };
        let commit = format!("X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n");
        if is_large(name) {
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {url}/store/{name}\r\nX-Linked-Size: {}\r\n\
                 X-Linked-Etag: \"{}\"\r\nContent-Length: 0\r\n{commit}\r\n",
                bytes.len(),
                sha256(&bytes)
            );
            return stream.write_all(head.as_bytes());
        }
        let etag = git(&bytes);
        let head = format!(
            "HTTP/1.1 200 OK\r\nETag: W/\"{etag}\"\r\nContent-Length: {}\r\n{commit}\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes())?;
        return match method.as_str() {
            "GET" => stream.write_all(&bytes),
            _ => Ok(()),
        };
    }
    let name = path.strip_prefix("/store/").unwrap_or_default();
    let Some(mut bytes) = state.files.get(name).cloned() else {
        return stream.write_all(missing("EntryNotFound").as_bytes());
    };
    if method != "GET" {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"store\"\r\nConnection: close\r\n\r\n",
            bytes.len()
        );
        return stream.write_all(head.as_bytes());
    }
    let fault = if state.faults > 0 { state.fault } else { Fault::None };
    state.faults = state.faults.saturating_sub(1);
    let start: usize = match range.as_deref().filter(|_| state.ranges) {
        Some(range) => range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
        None => 0,
    };
    drop(state);
    if fault == Fault::Busy {
        return stream
            .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if fault == Fault::Corrupt {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    }
    let head = match start {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        start => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
            bytes.len() - 1,
            bytes.len()
        ),
    };
    let body = &bytes[start..];
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    let sent = match fault {
        Fault::CutAfter(count) => count.min(body.len()),
        _ => body.len(),
    };
    stream.write_all(&body[..sent])
}
