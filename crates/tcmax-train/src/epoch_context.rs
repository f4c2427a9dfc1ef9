//! What a method may look at and do before an epoch.

use candle_core::Tensor;
use tcmax_data::{Batch, Loader};
use tcmax_estimators::Labels;
use tcmax_losses::{Clock, EpochContext, ParameterGroups, Part, Study, Surveyed, Visit};
use tcmax_ops::{Params, Seed, only_reading};

use crate::{Error, Model, Result};

/// The model on the training and validation splits, in evaluation mode.
pub(crate) struct View<'a> {
    pub(crate) clock: Clock,
    pub(crate) model: &'a Model,
    pub(crate) train: &'a Loader,
    /// Absent where there is no validation split.
    pub(crate) validation: Option<&'a Loader>,
    /// Fixes the order of the training batches.
    pub(crate) seed: Seed,
    /// Makes a frozen copy of the model the teacher.
    pub(crate) teach: &'a mut dyn FnMut() -> Result<()>,
    /// Lets the optimiser and the average of the weights forget.
    pub(crate) reset: &'a mut dyn FnMut() -> Result<()>,
}

impl View<'_> {
    fn loader(&self, part: Part) -> tcmax_losses::Result<&Loader> {
        match part {
            Part::Train => Ok(self.train),
            Part::Validation => self.validation.ok_or_else(|| {
                let problem = "the method looks at the validation split, and there is none";
                tcmax_losses::Error::EpochContext(Box::new(Error::setting("data", problem)))
            }),
        }
    }
}

impl EpochContext for View<'_> {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn seed(&self) -> Seed {
        self.seed.stream("method")
    }

    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        for batch in self.loader(part)?.epoch(self.seed) {
            let batch = batch.map_err(boxed)?;
            let features =
                only_reading(|| self.model.features(&batch, false)).map_err(passed_on)?;
            let features: Vec<_> = features.iter().map(Tensor::detach).collect();
            let labels = &labels(&batch, self.model)?;
            let (head, features) = (self.model.head(), &features[..]);
            if !visit(Surveyed { head, features, labels, rows: &batch.indices })? {
                break;
            }
        }
        Ok(())
    }

    fn study(
        &mut self,
        part: Part,
        examples: usize,
        work: &mut Study<'_>,
    ) -> tcmax_losses::Result<()> {
        let loader = self.loader(part)?;
        let rows: Vec<usize> = (0..examples.min(loader.examples())).collect();
        let mut batches = loader.epoch_of_batches(vec![rows], self.seed, (0, 1)).map_err(boxed)?;
        let Some(batch) = batches.next() else { return Ok(()) };
        let batch = batch.map_err(boxed)?;
        let labels = labels(&batch, self.model)?;
        let encode = || self.model.features(&batch, false).map_err(passed_on);
        work(self.model.head(), &encode, &labels)
    }

    fn params(&self) -> &Params {
        self.model.params()
    }

    fn groups(&self) -> &ParameterGroups {
        self.model.groups()
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        (self.teach)().map_err(passed_on)
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        (self.reset)().map_err(passed_on)
    }
}

fn labels(batch: &Batch, model: &Model) -> tcmax_losses::Result<Labels> {
    let labels = batch.labels.to_vec1::<u32>()?;
    Ok(Labels::new(&labels, model.outputs(), model.device())?)
}

fn boxed(error: tcmax_data::Error) -> tcmax_losses::Error {
    tcmax_losses::Error::EpochContext(Box::new(error))
}

fn passed_on(error: Error) -> tcmax_losses::Error {
    match error {
        Error::Loss(error) => error,
        other => tcmax_losses::Error::EpochContext(Box::new(other)),
    }
}
