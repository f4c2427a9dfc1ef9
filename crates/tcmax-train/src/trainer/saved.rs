//! What a run leaves on disk after an epoch, and going on from there.

use std::time::Instant;

use tcmax_ops::State;

use super::best::Best;
use super::run::Run;
use super::teacher::copy_of;
use crate::checkpoint::{
    LEARNED, MARGINALS, ModelCard, Progress, learned_tensor, save, under_prefix, with_prefix,
};
use crate::results::EpochRecord;
use crate::run_files::RunFiles;
use crate::{Error, Result};

/// What the names of the teacher's values begin with in the file.
const TEACHER: &str = "teacher";

impl Run<'_> {
    /// Saves everything after an epoch; the kept weights only where they are others than before.
    pub(super) fn save(&mut self, files: &RunFiles, start: Instant) -> Result<()> {
        if self.written != self.best.epoch {
            save(&files.model(), &self.kept()?, &self.card())?;
            self.written = self.best.epoch;
        }
        let progress = Progress {
            config: self.config.config().clone(),
            seed: self.seed,
            data: self.data.data.clone(),
            best_epoch: self.best.epoch,
            history: self.history.iter().map(EpochRecord::timeless).collect(),
        };
        let live = self.model.params().snapshot()?;
        let (schedule, method) = (self.schedule.state()?, self.method.state()?);
        let teacher = self.teacher.as_ref().map(|teacher| teacher.params().snapshot());
        let teacher = teacher.transpose()?.unwrap_or_default();
        let all = with_prefix("model", &live)
            .chain(self.updates.state()?)
            .chain(with_prefix("schedule", &schedule))
            .chain(with_prefix("method", &method))
            .chain(with_prefix("best", &self.best.state))
            .chain(with_prefix(TEACHER, &teacher));
        save(&files.last(), &all.collect(), &progress)?;
        files.save_seconds(&self.history, self.seconds(start))
    }

    /// Seconds spent on the run by this process and those before.
    pub(super) fn seconds(&self, start: Instant) -> f64 {
        self.seconds_before + start.elapsed().as_secs_f64()
    }

    fn card(&self) -> ModelCard {
        let data = &self.splits.train;
        ModelCard {
            config: self.config.config().clone(),
            seed: self.seed,
            epoch: self.best.epoch,
            modalities: data.modalities().to_vec(),
            classes: data.classes().to_vec(),
            task: data.task(),
            data: self.data.data.clone(),
            recipe: data.recipe(),
        }
    }

    /// The kept weights with what they were learned from.
    fn kept(&self) -> Result<State> {
        let mut state = self.best.state.clone();
        let [train, validation, _] = &self.data.examples;
        let learned: Vec<u64> = train.iter().chain(validation).copied().collect();
        state.insert(LEARNED.to_owned(), learned_tensor(&learned)?);
        Ok(state)
    }

    /// Saves the kept weights with what takes the place of absent modalities.
    pub(super) fn save_finished(&self, files: &RunFiles) -> Result<()> {
        let mut state = self.kept()?;
        if let Some(marginals) = &self.marginals {
            let of_marginals =
                marginals.state(&self.model.used_names(self.splits.train.modalities()));
            state.extend(with_prefix(MARGINALS, &of_marginals));
        }
        save(&files.model(), &state, &self.card())
    }

    /// Goes on where `progress` was.
    pub(super) fn restore(&mut self, tensors: &State, progress: Progress) -> Result<()> {
        // Into the model first, only to find out whether they fit.
        let kept = under_prefix("best", tensors);
        if progress.best_epoch > 0 {
            self.model.params().load(&kept)?;
        }
        self.model.params().load(&under_prefix("model", tensors))?;
        self.updates.load_state(tensors)?;
        self.method.load_state(&under_prefix("method", tensors))?;
        let teacher = under_prefix(TEACHER, tensors);
        if !teacher.is_empty() {
            let modalities = self.splits.train.modalities();
            self.teacher = Some(copy_of(&self.model, self.config, modalities, &teacher)?);
        }
        self.schedule.load_state(&under_prefix("schedule", tensors))?;
        let keep = self.config.config().train.keep;
        let best = Best::after(&progress.history, keep, kept);
        if best.epoch != progress.best_epoch {
            let problem = format!(
                "it says that the weights of epoch {} are kept, and by its own records those of epoch {} \
                 are",
                progress.best_epoch, best.epoch
            );
            return Err(Error::setting("resume", problem));
        }
        self.best = best;
        self.history = progress.history;
        Ok(())
    }
}
