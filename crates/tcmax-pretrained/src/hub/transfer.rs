//! Downloads: resumed, bounded, verified, and named when complete and right.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_RANGE, RANGE};

use super::client::{Client, Remote, reason};
use super::progress::DownloadProgress;
use crate::error::{Error, Result};

/// Broken connections are resumed this often.
const ATTEMPTS: u32 = 4;
/// Before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a transfer ended.
enum Transfer {
    /// The connection broke or the server is busy; the bytes received so far are kept.
    BrokenOff(String),
    /// Trying again will not help.
    Final(Box<Error>),
}

impl Transfer {
    fn last(error: Error) -> Self {
        Self::Final(Box::new(error))
    }
}

impl Client {
    /// Downloads a file to `blob`, going on with what an earlier download left.
    pub(super) fn download(
        &self,
        file: &Remote,
        blob: &Path,
        progress: &dyn DownloadProgress,
    ) -> Result<()> {
        let mut partial = blob.as_os_str().to_owned();
        partial.push(".incomplete");
        let partial = PathBuf::from(partial);
        let was_there = partial.exists();
        self.transfer_in_attempts(file, &partial, progress)?;
        if let Err(error) = verify(file, &partial) {
            // Wrong bytes are of no use to a later attempt.
            std::fs::remove_file(&partial).map_err(Error::io(&partial))?;
            if !was_there {
                return Err(error);
            }
            // What was left of an earlier download may be to blame.
            self.transfer_in_attempts(file, &partial, progress)?;
            if let Err(error) = verify(file, &partial) {
                std::fs::remove_file(&partial).map_err(Error::io(&partial))?;
                return Err(error);
            }
        }
        std::fs::rename(&partial, blob).map_err(Error::io(blob))?;
        progress.finished();
        Ok(())
    }

    fn transfer_in_attempts(
        &self,
        file: &Remote,
        partial: &Path,
        progress: &dyn DownloadProgress,
    ) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.transfer(file, partial, progress) {
                Ok(()) => return Ok(()),
                Err(Transfer::Final(error)) => return Err(*error),
                Err(Transfer::BrokenOff(problem)) if attempt == ATTEMPTS => {
                    let problem = format!("{problem}; try again to resume the download");
                    return Err(Error::Download { url: file.url.clone(), problem });
                }
                Err(Transfer::BrokenOff(_)) => {
                    std::thread::sleep(PAUSE * 2u32.pow(attempt - 1));
                    attempt += 1;
                }
            }
        }
    }

    fn transfer(
        &self,
        file: &Remote,
        partial: &Path,
        progress: &dyn DownloadProgress,
    ) -> std::result::Result<(), Transfer> {
        let done = std::fs::metadata(partial).map_or(0, |metadata| metadata.len());
        if file.size.is_some_and(|size| done > 0 && done >= size) {
            return Ok(());
        }
        let mut request = self.with_headers(self.fetching.get(&file.url));
        if done > 0 {
            request = request.header(RANGE, format!("bytes={done}-"));
        }
        let mut response = request.call().map_err(|error| Transfer::BrokenOff(reason(&error)))?;
        let status = response.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            // All bytes are there already; the checksum tells whether they are right.
            return Ok(());
        }
        if !status.is_success() {
            let problem = format!("the server answered {status}");
            return Err(match status.is_server_error() || status.as_u16() == 429 {
                true => Transfer::BrokenOff(problem),
                false => Transfer::last(Error::Download { url: file.url.clone(), problem }),
            });
        }
        // A server that does not know ranges, or sends another, starts again from the beginning.
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let resumed = status == StatusCode::PARTIAL_CONTENT
            && range.is_none_or(|range| range.starts_with(&format!("bytes {done}-")));
        if status == StatusCode::PARTIAL_CONTENT && !resumed {
            std::fs::remove_file(partial).map_err(|e| Transfer::last(Error::io(partial)(e)))?;
            return Err(Transfer::BrokenOff("the server sent another range".to_owned()));
        }
        let done = if resumed { done } else { 0 };
        let total = response.body().content_length().map(|rest| done + rest).or(file.size);
        progress.started(&file.name, done, total);
        let body = response.body_mut().as_reader();
        receive(body, file, partial, done, total, progress)
    }
}

/// Writes what comes behind the `done` bytes that are there.
fn receive(
    mut body: impl Read,
    file: &Remote,
    partial: &Path,
    mut done: u64,
    total: Option<u64>,
    progress: &dyn DownloadProgress,
) -> std::result::Result<(), Transfer> {
    let io = |error| Transfer::last(Error::io(partial)(error));
    let mut options = OpenOptions::new();
    let options = options.create(true).write(true).append(done > 0).truncate(done == 0);
    let mut out = options.open(partial).map_err(io)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = body.read(&mut buffer).map_err(|error| {
            let of = total.map_or_else(String::new, |total| format!(" of {total}"));
            Transfer::BrokenOff(format!("{}, at {done}{of} bytes", reason(&error.into())))
        })?;
        if count == 0 {
            break;
        }
        done += count as u64;
        if let Some(size) = file.size.filter(|size| done > *size) {
            let problem = format!("it sends more than the {size} bytes of the file");
            drop(out);
            std::fs::remove_file(partial).map_err(io)?;
            return Err(Transfer::last(Error::Download { url: file.url.clone(), problem }));
        }
        out.write_all(&buffer[..count]).map_err(io)?;
        progress.received(count as u64);
    }
    out.sync_all().map_err(io)?;
    match total {
        Some(total) if done < total => {
            Err(Transfer::BrokenOff(format!("the connection ended at {done} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// Whether a complete file is the one that the hub promises.
fn verify(file: &Remote, path: &Path) -> Result<()> {
    let wrong = |wanted: String, got: String| {
        Err(Error::Checksum { file: file.name.clone(), url: file.url.clone(), wanted, got })
    };
    if let Some(checksum) = &file.checksum {
        let got = checksum.of_file(path)?;
        return if got == checksum.text() {
            Ok(())
        } else {
            wrong(checksum.text().to_owned(), got)
        };
    }
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    match file.size {
        Some(size) if size != length => {
            wrong(format!("of {size} bytes"), format!("of {length} bytes"))
        }
        _ => Ok(()),
    }
}
