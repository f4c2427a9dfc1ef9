//! What steps have cost, kept beside the runs: a comparison that is gone on with does not measure again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tcmax_train::Observer;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::StepCost;

use crate::meter::{Meter, SeedCost, median};

/// The costs of methods, by name and seed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Costs(BTreeMap<String, BTreeMap<u64, SeedCost>>);

impl Costs {
    fn path(folder: &Path) -> PathBuf {
        folder.join("costs.json")
    }

    /// Those in the folder; none where there is no such file.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = Self::path(folder);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(write_whole(&Self::path(folder), text.as_bytes())?)
    }

    /// Takes what was measured now.
    pub(super) fn add<O: Observer>(&mut self, meter: &Meter<O>) {
        for ((method, seed), cost) in meter.by_seed() {
            self.0.entry(method).or_default().insert(seed, cost);
        }
    }

    /// What a step of a method has cost: the median over the seeds, each of them, and the largest peak.
    pub(super) fn of(&self, method: &str) -> Option<StepCost> {
        let seeds = self.0.get(method)?;
        let runs: Vec<f64> = seeds.values().map(|cost| cost.seconds).collect();
        let peak_bytes = seeds.values().map(|cost| cost.peak_bytes).max()?;
        Some(StepCost { seconds: median(runs.clone())?, runs, peak_bytes })
    }
}
