//! Plain downloads: resumed, bounded, verified, moved into place when right.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::RANGE;

use super::RemoteFile;
use super::digest::verify;
use crate::error::at;
use crate::{Error, Result};

/// Connections broken in the middle are taken up again this often.
const ATTEMPTS: usize = 4;

/// Is told how a download goes.
pub trait DownloadProgress {
    /// A file starts at `done` of `total` bytes, if the server says how many.
    fn started(&self, name: &str, done: u64, total: Option<u64>);
    /// More bytes have come.
    fn received(&self, bytes: u64);
    /// The file is complete and right.
    fn finished(&self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl DownloadProgress for NoProgress {
    fn started(&self, _: &str, _: u64, _: Option<u64>) {}
    fn received(&self, _: u64) {}
    fn finished(&self) {}
}

/// Downloads `url` to `folder/name` by way of `folder/name.part`.
pub(super) fn download(
    file: &RemoteFile,
    url: &str,
    folder: &Path,
    progress: &dyn DownloadProgress,
) -> Result<()> {
    let part = folder.join(format!("{}.part", file.name));
    let client = Client::builder()
        .connect_timeout(Duration::from_secs(30))
        .timeout(None)
        .build()
        .map_err(|e| failed(url, &e))?;
    let mut attempt = 1;
    while let Err(error) = transfer(&client, file, url, &part, progress) {
        let is_broken_off = matches!(&error, Transfer::BrokenOff(_));
        if !is_broken_off || attempt == ATTEMPTS {
            return Err(error.into_error(url));
        }
        attempt += 1;
    }
    if let Err(error) = verify(&part, file) {
        // Wrong bytes are of no use to a later attempt.
        std::fs::remove_file(&part).map_err(at(&part))?;
        let problem =
            format!("what it sent is not the file ({error}); try again or another source");
        return Err(Error::Download { url: url.to_owned(), problem });
    }
    let place = folder.join(&file.name);
    std::fs::rename(&part, &place).map_err(at(&place))?;
    progress.finished();
    Ok(())
}

/// Why a transfer ended.
enum Transfer {
    /// The connection broke; what came so far is kept.
    BrokenOff(String),
    /// Trying again will not help.
    Final(Error),
}

impl Transfer {
    fn into_error(self, url: &str) -> Error {
        match self {
            Self::BrokenOff(problem) => Error::Download {
                url: url.to_owned(),
                problem: format!("{problem}; run the command again to resume"),
            },
            Self::Final(error) => error,
        }
    }
}

fn transfer(
    client: &Client,
    file: &RemoteFile,
    url: &str,
    part: &Path,
    progress: &dyn DownloadProgress,
) -> std::result::Result<(), Transfer> {
    let io = |error| Transfer::Final(at(part)(error));
    let done = std::fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = client.get(url);
    if done > 0 {
        request = request.header(RANGE, format!("bytes={done}-"));
    }
    let response = request.send().map_err(|e| Transfer::BrokenOff(describe(&e)))?;
    let status = response.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        // All bytes are there already; the checksum tells whether they are right.
        return Ok(());
    }
    if !status.is_success() {
        let problem = format!("the server answered {status}");
        return Err(Transfer::Final(Error::Download { url: url.to_owned(), problem }));
    }
    // A server that does not know ranges starts again from the beginning.
    let resumed = status == StatusCode::PARTIAL_CONTENT;
    let done = if resumed { done } else { 0 };
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).append(resumed).truncate(!resumed);
    let out = options.open(part).map_err(io)?;
    let total = response.content_length().map(|rest| done + rest);
    progress.started(&file.name, done, total);
    copy(response, out, file, done, total, progress).map_err(|error| match error {
        Transfer::Final(Error::Io { source, .. }) => io(source),
        other => other,
    })
}

fn copy(
    mut response: Response,
    mut out: File,
    file: &RemoteFile,
    mut done: u64,
    total: Option<u64>,
    progress: &dyn DownloadProgress,
) -> std::result::Result<(), Transfer> {
    let name = Path::new(&file.name);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = response
            .read(&mut buffer)
            .map_err(|e| Transfer::BrokenOff(format!("the connection broke ({e})")))?;
        if count == 0 {
            break;
        }
        done += count as u64;
        if done > file.largest_bytes {
            let problem = format!("it sends more than {} bytes", file.largest_bytes);
            return Err(Transfer::Final(Error::bad_file(name, problem)));
        }
        out.write_all(&buffer[..count]).map_err(|e| Transfer::Final(at(name)(e)))?;
        progress.received(count as u64);
    }
    out.sync_all().map_err(|e| Transfer::Final(at(name)(e)))?;
    match total {
        Some(total) if done < total => {
            Err(Transfer::BrokenOff(format!("the connection ended at {done} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

fn failed(url: &str, error: &reqwest::Error) -> Error {
    Error::Download { url: url.to_owned(), problem: describe(error) }
}

/// An error with its causes: reqwest hides the interesting one.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
