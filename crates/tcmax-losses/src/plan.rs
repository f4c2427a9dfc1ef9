//! The batches of one epoch as a method wants them.

use rand::seq::SliceRandom;
use tcmax_ops::Seed;

/// A training example in an epoch's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which training example.
    pub row: usize,
    /// The only modality whose features count: those of the others are zeros. `None`: all count.
    pub only: Option<usize>,
}

impl Planned {
    /// An example with all its modalities.
    pub const fn whole(row: usize) -> Self {
        Self { row, only: None }
    }

    /// An example with one modality alone.
    pub const fn only(row: usize, modality: usize) -> Self {
        Self { row, only: Some(modality) }
    }
}

/// The batches of one epoch. Examples may come several times, or not at all.
///
/// ```
/// use tcmax_losses::{EpochPlan, Planned};
///
/// let mut plan = EpochPlan::default();
/// plan.add_in_order((0..5).map(Planned::whole).collect(), 2);
/// // A last batch of one has no batch statistics, and is joined to the one before.
/// let sizes: Vec<usize> = plan.batches.iter().map(Vec::len).collect();
/// assert_eq!(sizes, [2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochPlan {
    /// The examples of each batch.
    pub batches: Vec<Vec<Planned>>,
}

impl EpochPlan {
    /// Batches of examples in a random order.
    pub fn shuffled(mut examples: Vec<Planned>, batch_size: usize, seed: Seed) -> Self {
        examples.shuffle(&mut seed.rng());
        let mut plan = Self::default();
        plan.add_in_order(examples, batch_size);
        plan
    }

    /// Adds batches of examples in their order, the last of which may have fewer, or one more.
    pub fn add_in_order(&mut self, examples: Vec<Planned>, batch_size: usize) {
        let size = batch_size.max(1);
        let before = self.batches.len();
        self.batches.extend(examples.chunks(size).map(<[Planned]>::to_vec));
        let single = size > 1 && examples.len() > size && examples.len() % size == 1;
        if single && self.batches.len() > before + 1 {
            let last = self.batches.pop().unwrap_or_default();
            if let Some(batch) = self.batches.last_mut() {
                batch.extend(last);
            }
        }
    }

    /// Examples in all batches together.
    pub fn examples(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}
