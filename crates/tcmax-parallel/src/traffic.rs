//! What was exchanged, and for what.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is exchanged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Gradients of parameters.
    Gradients,
    /// Batch statistics of layers, and their gradients.
    BatchNorm,
    /// What a loss needs of the whole batch, where it is less than the features.
    Loss,
    /// Features of the whole batch.
    Features,
    /// Everything else: what is reported, compared and agreed on.
    Control,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Gradients, Self::BatchNorm, Self::Loss, Self::Features, Self::Control];

    /// What it is called in results and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradients => "gradients",
            Self::BatchNorm => "batch norm",
            Self::Loss => "loss",
            Self::Features => "features",
            Self::Control => "control",
        }
    }
}

/// The bytes that one member has given, by purpose. What goes to several members counts once: how often it
/// crosses a wire is up to what carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic([u64; Purpose::ALL.len()]);

impl Traffic {
    /// Bytes of one purpose.
    pub fn of(&self, purpose: Purpose) -> u64 {
        self.0[purpose as usize]
    }

    /// All bytes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// This and what was given otherwise.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    /// What has been given since an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].saturating_sub(earlier.0[i])))
    }
}

/// Counts traffic; for those who implement a group.
#[derive(Debug, Default)]
pub struct Counter([AtomicU64; Purpose::ALL.len()]);

impl Counter {
    /// Adds bytes that a member gave.
    pub fn add(&self, purpose: Purpose, bytes: usize) {
        self.0[purpose as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn traffic(&self) -> Traffic {
        Traffic(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }
}
