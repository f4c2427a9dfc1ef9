//! How clips are prepared.

/// How to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Clips per shard, at least 1. Memory holds one shard.
    pub shard_size: usize,
    /// Keep clips that lack a modality, masked, instead of leaving them out.
    pub keep_partial: bool,
    /// Leave out what cannot be decoded even where a manifest names it.
    pub skip_broken: bool,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        Self { shard_size: 64, keep_partial: false, skip_broken: false }
    }
}
