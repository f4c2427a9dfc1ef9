//! What a method sees of the data before an epoch.

use tcmax_data::Loader;
use tcmax_estimators::Labels;
use tcmax_losses::{Clock, EpochContext, Part, Visit};
use tcmax_ops::Seed;

use crate::{Error, Model};

/// The model on the training and validation splits, in evaluation mode.
pub(crate) struct View<'a> {
    pub(crate) clock: Clock,
    pub(crate) model: &'a Model,
    pub(crate) train: &'a Loader,
    /// Absent where there is no validation split.
    pub(crate) validation: Option<&'a Loader>,
    /// Fixes the order of the training batches.
    pub(crate) seed: Seed,
}

impl EpochContext for View<'_> {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let loader = match part {
            Part::Train => self.train,
            Part::Validation => self.validation.ok_or_else(|| {
                let problem = "the method looks at the validation split, and there is none";
                tcmax_losses::Error::EpochContext(Box::new(Error::setting("data", problem)))
            })?,
        };
        for batch in loader.epoch(self.seed) {
            let batch =
                batch.map_err(|error| tcmax_losses::Error::EpochContext(Box::new(error)))?;
            let features = self.model.features(&batch, false).map_err(passed_on)?;
            let features: Vec<_> = features.iter().map(candle_core::Tensor::detach).collect();
            let labels = Labels::from_tensor(&batch.labels, self.model.outputs())?;
            if !visit(self.model.head(), &features, &labels)? {
                break;
            }
        }
        Ok(())
    }
}

fn passed_on(error: Error) -> tcmax_losses::Error {
    match error {
        Error::Loss(error) => error,
        other => tcmax_losses::Error::EpochContext(Box::new(other)),
    }
}
