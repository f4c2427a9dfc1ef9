//! The runs of a comparison: which there are, and in which folders.

use std::path::PathBuf;

use tcmax_data::Splits;

use super::{Suite, plan};
use crate::config::CheckedConfig;
use crate::observer::RunLabel;
use crate::run_files::folder_name;
use crate::{Error, Result};

/// What every variant is trained on once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) seed: u64,
    /// Of a cross-validation.
    pub(super) fold: Option<usize>,
}

impl Unit {
    /// The name of its folder.
    fn folder(self) -> String {
        match self.fold {
            None => format!("seed-{}", self.seed),
            Some(fold) => format!("seed-{}-fold-{fold}", self.seed),
        }
    }
}

/// One run of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Its folder below that of all runs, such as `tcmax/seed-0`: letters, digits, `.`, `-` and one `/`.
    pub folder: String,
    /// What it is called.
    pub label: RunLabel,
    /// The index of its variant.
    pub(super) variant: usize,
}

impl PlannedRun {
    pub(super) fn unit(&self) -> Unit {
        Unit { seed: self.label.seed, fold: self.label.fold }
    }
}

impl Suite<'_> {
    /// Every run, in the order in which they are begun: all variants from a seed (and of its first fold), then from
    /// the next.
    pub fn runs(&self) -> Vec<PlannedRun> {
        let run = |unit: Unit, variant: usize| {
            let name = &self.variants[variant].name;
            let folder = format!("{}/{}", folder_name(name), unit.folder());
            let label = RunLabel { method: name.clone(), seed: unit.seed, fold: unit.fold };
            PlannedRun { folder, label, variant }
        };
        let of_unit = |unit| (0..self.variants.len()).map(move |variant| run(unit, variant));
        self.units().into_iter().flat_map(of_unit).collect()
    }

    /// The run in the folder of that name, such as `tcmax/seed-0`.
    ///
    /// # Errors
    /// When there is none.
    pub fn run_in(&self, folder: &str) -> Result<PlannedRun> {
        let mut runs = self.runs();
        let position = runs.iter().position(|run| run.folder == folder);
        position.map(|position| runs.swap_remove(position)).ok_or_else(|| {
            let known = runs.iter().take(4).map(|run| run.folder.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            let more = if runs.len() > 4 { ", ..." } else { "" };
            let problem = format!(
                "no run '{folder}' among the {} of the comparison: {known}{more}",
                runs.len()
            );
            Error::setting("only", problem)
        })
    }

    /// Every seed, with every fold of a cross-validation.
    pub(super) fn units(&self) -> Vec<Unit> {
        let folds = |seed: u64| match self.dataset.folds() {
            None => vec![Unit { seed, fold: None }],
            Some(folds) => (0..folds).map(|fold| Unit { seed, fold: Some(fold) }).collect(),
        };
        self.seeds.iter().flat_map(|&seed| folds(seed)).collect()
    }

    pub(super) fn splits_of(&self, unit: Unit) -> Result<Splits> {
        Ok(match unit.fold {
            None => self.dataset.splits(unit.seed)?,
            Some(fold) => self.dataset.splits_of_fold(unit.seed, fold)?,
        })
    }

    /// The folder of a run, where there are any.
    pub(super) fn folder_of(&self, run: &PlannedRun) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(&run.folder))
    }

    /// The settings of a run.
    pub(super) fn config_of(&self, run: &PlannedRun) -> Result<CheckedConfig> {
        let config = &self.variants[run.variant].config;
        match run.label.fold {
            None => Ok(config.clone()),
            Some(fold) => plan::of_fold(config, fold),
        }
    }
}
