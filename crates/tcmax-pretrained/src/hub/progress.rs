//! What is shown of downloads.

/// Is called as a download goes on.
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
