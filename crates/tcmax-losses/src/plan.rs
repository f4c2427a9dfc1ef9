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
/// let examples: Vec<Planned> = (0..5).map(Planned::whole).collect();
/// plan.add_in_order(&examples, 2);
/// let sizes = |plan: &EpochPlan| plan.batches.iter().map(Vec::len).collect::<Vec<usize>>();
/// assert_eq!(sizes(&plan), [2, 2, 1]);
/// // What a trainer makes of it: a batch of one has no batch statistics.
/// assert_eq!(sizes(&plan.joining_fewer_than(2)), [2, 3]);
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
        plan.add_in_order(&examples, batch_size);
        plan
    }

    /// Adds batches of examples in their order, the last of which may have fewer.
    pub fn add_in_order(&mut self, examples: &[Planned], batch_size: usize) {
        self.batches.extend(examples.chunks(batch_size.max(1)).map(<[Planned]>::to_vec));
    }

    /// The same examples, those of batches of fewer than `least` joined to the batch before, and those of the first one
    /// to the batch after it. Empty batches are left out.
    #[must_use]
    pub fn joining_fewer_than(self, least: usize) -> Self {
        let mut batches: Vec<Vec<Planned>> = Vec::with_capacity(self.batches.len());
        for batch in self.batches {
            match batches.last_mut() {
                Some(last) if batch.len() < least || last.len() < least => last.extend(batch),
                _ if batch.is_empty() => {}
                _ => batches.push(batch),
            }
        }
        Self { batches }
    }

    /// Examples in all batches together.
    pub fn examples(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}
