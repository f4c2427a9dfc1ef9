//! When the information in the features is measured, and how members do it.

use std::sync::Arc;

use tcmax_data::Subset;
use tcmax_parallel::Purpose;

use super::run::Run;
use crate::information::{MOST_MEASURED, evenly, feature_information};
use crate::results::{Evaluation, FeatureInformation};
use crate::{EncodedSplit, Error, Result, Task};

/// The first epoch that is measured by default, and the fewest from one to the next.
const FIRST: usize = 3;

/// Whether the features are measured after an epoch (from 1). By default after 3, 6, 9, 13, 19, 28, 42, ...: half as many
/// epochs again each time, so that early epochs, in which modalities compete, are seen, and the cost stays small. The
/// number of epochs has no part in it, so that a run that is gone on with is the longer run.
fn is_measured(every: Option<usize>, epoch: usize) -> bool {
    match every {
        Some(0) => false,
        Some(every) => epoch.is_multiple_of(every),
        None => {
            let mut next = FIRST;
            while next < epoch {
                next += FIRST.max(next / 2);
            }
            next == epoch
        }
    }
}

impl Run<'_> {
    /// Whether the information in the features is measured at all.
    pub(super) fn measures(&self) -> bool {
        self.model.task() == Task::Classes
            && self.config.config().train.information_every != Some(0)
    }

    /// What to say where it was asked for and cannot be.
    pub(super) fn unmeasured(&self) -> Option<String> {
        let every = self.config.config().train.information_every?;
        (every > 0 && !self.measures()).then(|| {
            let task = self.model.task();
            format!("train.information-every is for classes alone, and the task is '{task}': nothing is measured")
        })
    }

    /// The information in the features after an epoch (from 1), measured on the validation split.
    pub(super) fn information_after(
        &self,
        epoch: usize,
        (validation, evaluation): (&EncodedSplit, &Evaluation),
    ) -> Result<Option<FeatureInformation>> {
        if !self.measures() || !is_measured(self.config.config().train.information_every, epoch) {
            return Ok(None);
        }
        let train = &self.splits.train;
        let rows: Vec<usize> = evenly(train.len(), MOST_MEASURED).collect();
        let some = match rows.len() < train.len() {
            true => Arc::new(Subset::new(train.clone(), rows)),
            false => train.clone(),
        };
        let train = EncodedSplit::of(&self.model, &self.loader_of(&some)?)?;
        self.information_of(&train, (validation, evaluation))
    }

    /// The information in features that all members have: the first computes it for all.
    pub(super) fn information_of(
        &self,
        train: &EncodedSplit,
        (held_out, evaluation): (&EncodedSplit, &Evaluation),
    ) -> Result<Option<FeatureInformation>> {
        let group = self.model.members().group();
        let own = match group.rank() {
            0 => {
                let modalities = self.splits.train.modalities().len();
                let bound = evaluation.total_correlation;
                feature_information(&self.model, (train, held_out), modalities, bound)?
            }
            _ => None,
        };
        if group.size() == 1 {
            return Ok(own);
        }
        let failed = |error: serde_json::Error| Error::setting("information", error.to_string());
        let bytes = serde_json::to_vec(&own).map_err(failed)?;
        let all = group.all_gather(&bytes, Purpose::Control)?;
        serde_json::from_slice(&all[0]).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_frequent_at_first() {
        let epochs =
            |every| (1..=60).filter(|&epoch| is_measured(every, epoch)).collect::<Vec<_>>();
        assert_eq!(epochs(None), [3, 6, 9, 13, 19, 28, 42]);
        assert_eq!(epochs(Some(25)), [25, 50]);
        assert!(epochs(Some(0)).is_empty());
    }
}
