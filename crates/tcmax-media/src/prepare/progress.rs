//! Reports of how far preparing is.

/// Is called as preparing goes on.
pub trait PrepareProgress: Sync {
    /// Preparing starts; `done` of `total` clips are there already.
    fn started(&self, done: usize, total: usize);
    /// A clip was made or left out.
    fn clip(&self);
    /// Preparing has ended.
    fn finished(&self);
}

/// Reports nothing.
pub struct NoProgress;

impl PrepareProgress for NoProgress {
    fn started(&self, _: usize, _: usize) {}
    fn clip(&self) {}
    fn finished(&self) {}
}
