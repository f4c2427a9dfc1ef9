//! How a run is asked to end early.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether training was asked to end; clones are told together.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks, as signal number `signal` would.
    pub fn ask(&self, signal: i32) {
        self.0.store(usize::try_from(signal).unwrap_or(0), Ordering::Relaxed);
    }

    /// The signal that asked.
    pub fn asked(&self) -> Option<i32> {
        let signal = self.0.load(Ordering::Relaxed);
        if signal == 0 { None } else { i32::try_from(signal).ok() }
    }

    /// Where the number of the signal that asks is stored, 0 for none: signal handlers can do nothing
    /// but store a number.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        self.0.clone()
    }
}
