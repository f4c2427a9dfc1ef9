//! Which epoch's weights are kept.

use tcmax_ops::State;

use crate::config::Keep;
use crate::results::{EpochRecord, Evaluation};

/// The weights kept so far.
pub(super) struct Best {
    /// From 1; 0 before the first epoch.
    pub(super) epoch: usize,
    score: Score,
    pub(super) state: State,
}

/// What epochs are compared by on the validation split. Small splits often tie in accuracy, and
/// the first of equals may be far from trained.
#[derive(Clone, Copy)]
pub(super) struct Score {
    /// Of which more is better.
    gain: f64,
    loss: f64,
}

impl Score {
    /// Below every epoch's.
    pub(super) const NONE: Self = Self { gain: f64::NEG_INFINITY, loss: f64::INFINITY };

    pub(super) fn of(validation: &Evaluation) -> Self {
        Self { gain: validation.gain(), loss: validation.loss() }
    }

    pub(super) fn better_than(self, other: Self) -> bool {
        self.gain > other.gain || (self.gain == other.gain && self.loss < other.loss)
    }
}

impl Best {
    /// Before the first epoch.
    pub(super) fn none() -> Self {
        Self { epoch: 0, score: Score::NONE, state: State::new() }
    }

    /// The score that is kept after this epoch, if the epoch's weights are to be.
    fn improved(&self, record: &EpochRecord, keep: Keep) -> Option<Score> {
        if !record.usable {
            return None;
        }
        let own = record.validation.as_ref().map_or(Score::NONE, Score::of);
        let kept = match keep {
            Keep::Last => true,
            Keep::Best => record.validation.is_none() || own.better_than(self.score),
        };
        kept.then_some(own)
    }

    /// Takes the weights of an epoch if they are to be kept.
    pub(super) fn offer(
        &mut self,
        record: &EpochRecord,
        keep: Keep,
        weights: impl FnOnce() -> crate::Result<State>,
    ) -> crate::Result<()> {
        if let Some(score) = self.improved(record, keep) {
            *self = Self { epoch: record.epoch, score, state: weights()? };
        }
        Ok(())
    }

    /// What was kept after these epochs, with the weights given.
    pub(super) fn after(history: &[EpochRecord], keep: Keep, state: State) -> Self {
        let mut best = Self::none();
        for record in history {
            if let Some(score) = best.improved(record, keep) {
                (best.epoch, best.score) = (record.epoch, score);
            }
        }
        Self { state, ..best }
    }
}

/// Whether training ends here: no epoch better than those before in the last `patience` whose weights can be kept.
pub(super) fn is_stuck(history: &[EpochRecord], patience: Option<usize>) -> bool {
    let best = Best::after(history, Keep::Best, State::new());
    // Epochs whose weights cannot be kept are no worse than others.
    let since = history.iter().skip(best.epoch).filter(|record| record.usable).count();
    patience.is_some_and(|patience| since >= patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Epochs of these accuracies; those that are `None` cannot be used.
    fn history(accuracies: &[Option<f64>]) -> Vec<EpochRecord> {
        let record = |(epoch, accuracy): (usize, &Option<f64>)| {
            let text = serde_json::json!({
                "epoch": epoch + 1, "learning_rate": 0.1, "train_loss": 1.0, "usable": accuracy.is_some(),
                "validation": {
                    "examples": 10, "accuracy": accuracy.unwrap_or(1.0), "balanced_accuracy": 0.5,
                    "majority_rate": 0.5, "modality_accuracy": [], "cross_entropy": 1.0,
                    "total_correlation": null,
                },
            });
            serde_json::from_value(text).unwrap()
        };
        accuracies.iter().enumerate().map(record).collect()
    }

    #[test]
    fn patience_counts_the_epochs_that_can_be_used() {
        let stuck =
            |accuracies: &[Option<f64>], patience| is_stuck(&history(accuracies), Some(patience));
        assert!(!stuck(&[None; 9], 1), "nothing to be better than");
        assert!(!stuck(&[None, None, Some(0.5)], 1));
        assert!(stuck(&[None, None, Some(0.5), Some(0.5)], 1));
        // Every second epoch is one of a phase that cannot be used.
        let turns = [Some(0.6), None, Some(0.5), None, Some(0.5), None];
        assert!(!stuck(&turns, 3) && stuck(&turns, 2));
        assert!(stuck(&[Some(0.5), Some(0.4)], 1) && !stuck(&[Some(0.5), Some(0.6)], 1));
        assert!(!is_stuck(&history(&turns), None));
    }

    #[test]
    fn epochs_that_cannot_be_used_are_never_kept() {
        let epochs = history(&[None, Some(0.4), None, Some(0.3), None]);
        for (keep, kept) in [(Keep::Best, 2), (Keep::Last, 4)] {
            let mut best = Best::none();
            for record in &epochs {
                best.offer(record, keep, || Ok(State::new())).unwrap();
            }
            assert_eq!(best.epoch, kept);
            assert_eq!(Best::after(&epochs, keep, State::new()).epoch, kept);
        }
    }
}
