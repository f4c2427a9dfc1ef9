//! The members that train a network together, as its layers see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tcmax_parallel::{Alone, Group};

/// The members that train a network together, each on its share of every batch. Clones are of one member.
#[derive(Clone, Debug)]
pub struct Members {
    group: Arc<dyn Group>,
    synchronised: bool,
    /// Whether what passes through the layers is a share of the batch.
    counts: Arc<AtomicBool>,
}

impl Members {
    /// A network that one process trains by itself.
    pub fn alone() -> Self {
        Self::new(Arc::new(Alone), false)
    }

    /// One member of a group. If `synchronised`, batch statistics are those of all members' shares together, and
    /// else of its own.
    pub fn new(group: Arc<dyn Group>, synchronised: bool) -> Self {
        Self { group, synchronised, counts: Arc::new(AtomicBool::new(true)) }
    }

    /// The group.
    pub fn group(&self) -> &Arc<dyn Group> {
        &self.group
    }

    /// Whether batch statistics are exchanged: there are others, and they are to be those of all.
    pub fn are_synchronised(&self) -> bool {
        self.synchronised && self.group.size() > 1
    }

    /// Whether what passes through the layers counts in batch statistics.
    pub(crate) fn counts(&self) -> bool {
        self.counts.load(Ordering::Relaxed)
    }

    /// Runs `pass` with an input that takes part in every exchange but counts in no statistics: that of a member
    /// whose share has no example with a modality, while others' shares have some.
    pub fn without_counting<T>(&self, pass: impl FnOnce() -> T) -> T {
        self.counts.store(false, Ordering::Relaxed);
        let result = pass();
        self.counts.store(true, Ordering::Relaxed);
        result
    }
}
