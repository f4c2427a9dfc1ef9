//! What a preparation made.

use std::collections::BTreeMap;

use serde::Serialize;
use tcmax_data::shards::{SkippedClip, SplitCount};

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Clips in the shards.
    pub clips: usize,
    /// What was left out or kept in part.
    pub skipped: Vec<SkippedClip>,
    /// How many clips of each split were listed and left out.
    pub splits: Vec<SplitCount>,
    /// Shards that an earlier run had made.
    pub resumed_shards: usize,
    /// Shards in all.
    pub shards: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Summary {
    /// Reasons with their numbers, the most frequent first.
    pub fn reasons(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for SkippedClip { reason, .. } in &self.skipped {
            // Numbers and details differ from file to file.
            let end = reason.find(|c: char| c == '(' || c.is_ascii_digit()).unwrap_or(reason.len());
            *counts.entry(reason[..end].trim().to_owned()).or_default() += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }
}
