//! The end of a run: the kept weights, tested once.

use std::collections::BTreeMap;
use std::time::Instant;

use tcmax_ops::Seed;

use super::run::Run;
use crate::absence::{absence, marginals_of};
use crate::evaluate::modality_accuracy;
use crate::metrics::{contributions, test_metrics};
use crate::probe::probe;
use crate::results::{Evaluation, RunResult};
use crate::warnings::Finished;
use crate::{EncodedSplit, Error, Result, evaluate};

impl Run<'_> {
    /// Tests the kept weights.
    ///
    /// # Errors
    /// When none were kept, or they cannot be tested.
    pub(super) fn finish(&mut self, start: Instant) -> Result<RunResult> {
        self.check_kept()?;
        self.model.params().load(&self.best.state)?;
        let test = EncodedSplit::with_absences(&self.model, &self.loader_of(&self.splits.test)?)?;
        let train = EncodedSplit::of(&self.model, &self.loader_of(&self.splits.train)?)?;
        let modalities = self.splits.test.modalities().len();
        self.marginals = Some(marginals_of(&self.model, &train, Seed::new(self.seed))?);
        let classifier = self.classifier(self.marginals.as_ref());
        let tested = evaluate(&classifier, &test, modalities)?;
        Ok(RunResult {
            absence: absence(&classifier, &test, modalities)?,
            seed: self.seed,
            fold: None,
            data: self.data.data.digest(),
            chosen: BTreeMap::new(),
            parameters: Some(self.parameters()),
            best_epoch: self.best.epoch,
            metrics: test_metrics(&classifier, &test)?,
            contributions: contributions(&classifier, &test, modalities)?,
            probe_accuracy: probe(&self.model, &train, &test, modalities)?,
            warnings: self.warnings(&train, &tested)?,
            information: match self.measures() {
                true => self.information_of(&train, (&test, &tested))?,
                false => None,
            },
            test: tested,
            history: self.history.clone(),
            seconds: self.seconds(start),
            exchanged: BTreeMap::new(),
        })
    }

    /// Refuses a run that has kept no weights.
    fn check_kept(&self) -> Result<()> {
        if self.best.epoch > 0 {
            return Ok(());
        }
        let (epochs, method) = (self.history.len(), self.config.method().name);
        let problem = format!(
            "after {epochs} epochs there are no weights to keep: '{method}' begins with epochs whose model cannot be \
             used; go on with more epochs, or shorten its phases"
        );
        Err(Error::setting("train.epochs", problem))
    }

    /// Numbers that training changes.
    fn parameters(&self) -> u64 {
        self.model.params().num_trainable() as u64
    }

    /// What to be wary of in the result.
    fn warnings(&self, train: &EncodedSplit, test: &Evaluation) -> Result<Vec<String>> {
        let Some(kept) = self.history.get(self.best.epoch.wrapping_sub(1)) else {
            return Ok(Vec::new());
        };
        let data = &self.splits.train;
        let names: Vec<String> = data.modalities().iter().map(|m| m.name.clone()).collect();
        let finished = Finished {
            validation: kept.validation.as_ref(),
            test,
            train_modality_accuracy: &modality_accuracy(&self.model, train, names.len())?,
            modalities: &names,
            classes: data.classes(),
        };
        Ok(finished.warnings())
    }
}
