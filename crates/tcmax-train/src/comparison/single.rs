//! The runs of a comparison in processes of their own, as the tasks of a cluster are: each trains one run, and one
//! process afterwards gathers the results.

use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use tcmax_parallel::Purpose;

use super::runs::PlannedRun;
use super::{Suite, collect};
use crate::checkpoint::write_whole;
use crate::config::CheckedConfig;
use crate::dataset::summary;
use crate::devices::Devices;
use crate::identity::{DataIdentity, Identified};
use crate::observer::Observer;
use crate::results::{RunResult, SuiteResult};
use crate::run_files::{failure_of, last_of, model_of, remove, result_of};
use crate::stop::Stop;
use crate::{Error, Result, describe_error, resume};

impl Suite<'_> {
    /// Trains the run in `folder` (such as `tcmax/seed-0`) alone, on all threads, and gives the comparison of it
    /// alone. It goes on with what is there; a run that is finished is left as it is, and one that another process
    /// has is refused. Why it failed stays in its folder, for [`Suite::finished`].
    ///
    /// # Errors
    /// When there is no such run, it fails, or an interruption is asked for.
    pub fn run_one(
        &self,
        folder: &str,
        devices: Devices<'_>,
        observer: &dyn Observer,
        stop: Option<&Stop>,
    ) -> Result<SuiteResult> {
        let start = Instant::now();
        let run = self.run_in(folder)?;
        let splits = self.splits_of(run.unit())?;
        let data = Identified::of(&splits)?.data;
        let result = match self.finished_for_all(&run, &data, devices.first())? {
            Some(result) => {
                observer.note(&run.label, "the run is finished: nothing is left to do");
                observer.finished(&run.label, &result);
                result
            }
            None => {
                let trained = self.train_run(&run, &splits, (devices, observer, stop));
                self.keep_failure(&run, trained.as_ref().err());
                trained?
            }
        };
        let mut all = self.gathered(summary(self.dataset, &splits), [(run, Ok(result))], start)?;
        all.methods.retain(|method| !method.runs.is_empty());
        Ok(all)
    }

    /// The comparison of the runs that are finished. Those that are not are among the failed ones.
    ///
    /// # Errors
    /// When no run is finished, or one is of other settings.
    pub fn finished(&self, device: &Device, observer: &dyn Observer) -> Result<SuiteResult> {
        let start = Instant::now();
        let runs = self.runs();
        let mut first = None;
        let mut results = Vec::with_capacity(runs.len());
        // Runs of the same data follow each other, and the splits of one seed alone are held at a time.
        for of_unit in runs.chunk_by(|one, other| one.unit() == other.unit()) {
            let splits = self.splits_of(of_unit[0].unit())?;
            let data = Identified::of(&splits)?.data;
            first.get_or_insert_with(|| summary(self.dataset, &splits));
            for run in of_unit {
                let result = self
                    .finished_run(run, &data, device)
                    .and_then(|result| result.ok_or_else(|| self.why_unfinished(run, device)));
                match &result {
                    Ok(result) => observer.finished(&run.label, result),
                    Err(error) if error.concerns_one_run() => observer.failed(&run.label, error),
                    Err(_) => {}
                }
                results.push((run.clone(), result));
            }
        }
        let first = first.ok_or_else(|| Error::setting("seeds", "give at least one"))?;
        let mut all = self.gathered(first, results, start)?;
        all.seconds = all.methods.iter().flat_map(|m| &m.runs).map(|run| run.seconds).sum();
        Ok(all)
    }

    /// As [`Self::finished_run`], which the first of several processes looks for.
    pub(super) fn finished_for_all(
        &self,
        run: &PlannedRun,
        data: &DataIdentity,
        device: &Device,
    ) -> Result<Option<RunResult>> {
        let Some(group) = self.group.filter(|group| group.size() > 1) else {
            return self.finished_run(run, data, device);
        };
        let problem = |error: serde_json::Error| Error::setting("only", error.to_string());
        let own = if group.rank() == 0 { self.finished_run(run, data, device)? } else { None };
        let own = serde_json::to_vec(&own).map_err(problem)?;
        let all = group.all_gather(&own, Purpose::Control)?;
        serde_json::from_slice(&all[0]).map_err(problem)
    }

    fn finished_run(
        &self,
        run: &PlannedRun,
        data: &DataIdentity,
        device: &Device,
    ) -> Result<Option<RunResult>> {
        match self.folder_of(run) {
            Some(folder) => finished(&folder, run, &self.config_of(run)?, data, device),
            None => Ok(None),
        }
    }

    /// Writes down why a run failed, or removes what is written of an earlier time. A run that another process has
    /// did not fail. What it failed of is the error to report, whether it can be written or not.
    fn keep_failure(&self, run: &PlannedRun, error: Option<&Error>) {
        let is_first = self.group.is_none_or(|group| group.rank() == 0);
        let folder = self.folder_of(run).filter(|_| is_first);
        let Some(path) = folder.map(|folder| failure_of(&folder)) else { return };
        let _ = match error {
            None => remove(&path),
            Some(Error::Locked { .. }) => Ok(()),
            Some(error) if error.concerns_one_run() => {
                write_whole(&path, describe_error(error).as_bytes())
            }
            Some(_) => Ok(()),
        };
    }

    fn why_unfinished(&self, run: &PlannedRun, device: &Device) -> Error {
        let folder = self.folder_of(run).unwrap_or_default();
        if let Ok(problem) = std::fs::read_to_string(failure_of(&folder)) {
            return Error::RunFailed { problem };
        }
        let done = match resume::read(&folder, device) {
            Ok(progress) => progress.map_or(0, |(_, progress)| progress.history.len()),
            Err(error) => return error,
        };
        let epochs = self.variants[run.variant].config.config().train.epochs;
        Error::bad_file(&folder, format!("not finished: {done} of {epochs} epochs are done"))
    }
}

/// The result of the run in `folder`, if it is finished with these settings, on these data.
fn finished(
    folder: &Path,
    run: &PlannedRun,
    config: &CheckedConfig,
    data: &DataIdentity,
    device: &Device,
) -> Result<Option<RunResult>> {
    let path = result_of(folder);
    if !path.is_file() || !model_of(folder).is_file() {
        return Ok(None);
    }
    let Some((_, progress)) = resume::read(folder, device)? else { return Ok(None) };
    let config = resume::continued(config, (&progress, run.label.seed), folder)?;
    resume::check_data(&last_of(folder), &progress, data)?;
    let result: RunResult = collect::read(&path)?;
    // A run that goes on for more epochs has the result of fewer until its end.
    let is_whole = config.config().train.epochs == progress.config.train.epochs
        && result.history.len() == progress.history.len()
        && result.fold == run.label.fold;
    Ok(is_whole.then_some(result))
}
