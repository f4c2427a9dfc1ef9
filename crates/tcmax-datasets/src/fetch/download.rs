//! Plain downloads: resumed, bounded, verified, renamed when complete and right.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use tcmax_data::{Error as DataError, partial_path};
use tcmax_pretrained::DownloadProgress;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::http::header::RANGE;
use ureq::tls::{RootCerts, TlsConfig};

use super::digest::verify;
use crate::catalog::RemoteFile;
use crate::error::{Error, Result};

/// Broken connections are resumed this often.
const ATTEMPTS: usize = 4;
/// A server that sends nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(30);

/// Downloads `url` to `folder/name` by way of [`partial_path`].
pub(super) fn download(
    file: &RemoteFile,
    url: &str,
    folder: &Path,
    progress: &dyn DownloadProgress,
) -> Result<()> {
    download_with_patience(file, url, folder, progress, PATIENCE)
}

fn download_with_patience(
    file: &RemoteFile,
    url: &str,
    folder: &Path,
    progress: &dyn DownloadProgress,
    patience: Duration,
) -> Result<()> {
    let path = folder.join(&file.name);
    let partial = partial_path(&path);
    let agent = agent(patience);
    let mut attempt = 1;
    while let Err(error) = transfer(&agent, file, url, &partial, progress) {
        let is_broken_off = matches!(&error, Transfer::BrokenOff(_));
        if !is_broken_off || attempt == ATTEMPTS {
            return Err(error.into_error(url));
        }
        attempt += 1;
    }
    if let Err(error) = verify(&partial, file) {
        // Wrong bytes are of no use to a later attempt.
        std::fs::remove_file(&partial).map_err(DataError::io(&partial))?;
        let problem = format!(
            "what it sent is not the file ({error}); try again, or name a folder that has the file \
             (`data-dir`)"
        );
        return Err(Error::Download { url: url.to_owned(), problem });
    }
    std::fs::rename(&partial, &path).map_err(DataError::io(&path))?;
    progress.finished();
    Ok(())
}

/// Why a transfer ended.
enum Transfer {
    /// The connection broke; the bytes received so far are kept.
    BrokenOff(String),
    /// Trying again will not help.
    Final(Error),
}

impl Transfer {
    fn into_error(self, url: &str) -> Error {
        match self {
            Self::BrokenOff(problem) => Error::Download {
                url: url.to_owned(),
                problem: format!(
                    "{problem}; try again to resume, or name a folder that has the file (`data-dir`)"
                ),
            },
            Self::Final(error) => error,
        }
    }
}

fn transfer(
    agent: &Agent,
    file: &RemoteFile,
    url: &str,
    partial: &Path,
    progress: &dyn DownloadProgress,
) -> std::result::Result<(), Transfer> {
    let io = |error| Transfer::Final(DataError::io(partial)(error).into());
    let done = std::fs::metadata(partial).map_or(0, |metadata| metadata.len());
    let mut request = agent.get(url);
    if done > 0 {
        request = request.header(RANGE, format!("bytes={done}-"));
    }
    let mut response = request.call().map_err(broken_off)?;
    let status = response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        // All bytes are there already; the checksum tells whether they are right.
        return Ok(());
    }
    if !status.is_success() {
        let problem = format!(
            "the server answered {status}; try again later, or name a folder that has the file \
             (`data-dir`)"
        );
        return Err(Transfer::Final(Error::Download { url: url.to_owned(), problem }));
    }
    // A server that does not know ranges starts again from the beginning.
    let resumed = status == StatusCode::PARTIAL_CONTENT;
    let done = if resumed { done } else { 0 };
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).append(resumed).truncate(!resumed);
    let out = options.open(partial).map_err(io)?;
    let total = response.body().content_length().map(|rest| done + rest);
    progress.started(&file.name, done, total);
    let body = response.body_mut().as_reader();
    copy(body, out, file, done, total, progress).map_err(|error| match error {
        Transfer::Final(Error::Data(DataError::Io { source, .. })) => io(source),
        other => other,
    })
}

fn copy(
    mut body: impl Read,
    mut out: File,
    file: &RemoteFile,
    mut done: u64,
    total: Option<u64>,
    progress: &dyn DownloadProgress,
) -> std::result::Result<(), Transfer> {
    let name = Path::new(&file.name);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = body.read(&mut buffer).map_err(|error| broken_off(error.into()))?;
        if count == 0 {
            break;
        }
        let bytes = &buffer[..count];
        done += count as u64;
        if done > file.largest_bytes {
            let problem = format!("it sends more than {} bytes", file.largest_bytes);
            return Err(Transfer::Final(DataError::bad_file(name, problem).into()));
        }
        out.write_all(bytes).map_err(|e| Transfer::Final(DataError::io(name)(e).into()))?;
        progress.received(count as u64);
    }
    out.sync_all().map_err(|e| Transfer::Final(DataError::io(name)(e).into()))?;
    match total {
        Some(total) if done < total => {
            Err(Transfer::BrokenOff(format!("the connection ended at {done} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// A client that waits for a connection and for anything to come, but has no limit for the whole.
fn agent(patience: Duration) -> Agent {
    // The certificates of the system, as other programs use them.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(patience))
        .timeout_per_write(Some(patience))
        .http_status_as_error(false)
        .tls_config(tls);
    config.build().into()
}

/// Why a request or the reading of its answer failed.
fn broken_off(error: ureq::Error) -> Transfer {
    Transfer::BrokenOff(match error {
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            format!("no connection within {} seconds", CONNECT.as_secs_f64())
        }
        ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
            "the server stopped sending".to_owned()
        }
        error => format!("the connection broke ({error})"),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use tcmax_pretrained::NoProgress;

    #[test]
    fn a_server_that_sends_nothing_more_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            // Every connection is kept open, after the head and three bytes.
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1 << 10]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
                open.push(stream);
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let file = RemoteFile {
            name: "file.bin".to_owned(),
            urls: vec![url.clone()],
            sha256: String::new(),
            content_sha256: None,
            largest_bytes: 100,
            hub: None,
        };
        let patience = Duration::from_millis(200);
        let got = download_with_patience(&file, &url, folder.path(), &NoProgress, patience);
        let message = got.unwrap_err().to_string();
        assert!(message.contains("stopped sending"), "{message}");
        assert!(message.contains("`data-dir`"), "{message}");
        assert_eq!(std::fs::read(folder.path().join("file.bin.part")).unwrap(), b"abc");
    }
}
