//! Several methods from several seeds on one data set, runs in parallel.

mod collect;
mod memory;
mod plan;
mod runs;
mod single;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tcmax_data::Splits;
use tcmax_datasets::DataSource;
use tcmax_parallel::Group;

use crate::dataset::{summary, truth};
use crate::devices::Devices;
use crate::identity::{DataIdentity, Identified};
use crate::observer::Observer;
use crate::results::{DatasetSummary, FailedRun, MethodResult, RunResult, SuiteResult};
use crate::run_files::Existing;
use crate::stop::Stop;
use crate::trainer::{RunOptions, train};
use crate::{Error, Result, describe_error};

pub use collect::collect;
pub use memory::memory_of_run;
pub use plan::{Variant, variants};
pub use runs::PlannedRun;

/// A comparison to run.
pub struct Suite<'a> {
    /// Its short name.
    pub name: String,
    /// One line on what is compared.
    pub title: String,
    /// The data.
    pub dataset: &'a dyn DataSource,
    /// The methods, in the order to show them.
    pub variants: Vec<Variant>,
    /// The seeds; every method gets each.
    pub seeds: Vec<u64>,
    /// Settings to show, as (name, value).
    pub settings: Vec<(String, String)>,
    /// Where checkpoints go, a folder per run; absent: nothing is written.
    pub folder: Option<PathBuf>,
    /// What to do with runs that are in the folder already.
    pub existing: Existing,
    /// The name of the variant that the others are compared with.
    pub baseline: Option<String>,
    /// Published accuracies in percent, by the names of the variants.
    pub published: BTreeMap<String, f64>,
    /// The processes that train every run together ([`RunOptions::group`]), if this is not the only one.
    pub group: Option<&'a Arc<dyn Group>>,
}

impl Suite<'_> {
    /// Trains every method from every seed, `jobs` runs at a time, each on one thread and on the next of the devices;
    /// one at a time is trained on all of them together. Several processes train one after the other.
    ///
    /// With [`Existing::Resume`] finished runs are not trained or tested again.
    ///
    /// Results do not depend on `jobs`: a run computes the same bits for any number of threads. A run
    /// that fails does not end the others; it is among the [`MethodResult::failed`]
    /// ([`SuiteResult::complete`] makes an error of them).
    ///
    /// # Errors
    /// A setting that is wrong, or an interruption; and the first run's error if all fail.
    pub fn run(
        &self,
        jobs: usize,
        devices: Devices<'_>,
        observer: &dyn Observer,
        stop: Option<&Stop>,
    ) -> Result<SuiteResult> {
        let start = Instant::now();
        check_seeds(&self.seeds)?;
        let units = self.units();
        let splits: Vec<Splits> =
            units.iter().map(|&unit| self.splits_of(unit)).collect::<Result<_>>()?;
        let first = splits.first().ok_or_else(|| Error::setting("seeds", "give at least one"))?;
        let summary = summary(self.dataset, first);
        let runs = self.runs();
        // By these finished runs are known, which are left as they are.
        let identities: Vec<DataIdentity> = match self.existing {
            Existing::Resume => splits.iter().map(identity_of).collect::<Result<_>>()?,
            Existing::Refuse | Existing::Replace => Vec::new(),
        };
        // All processes come to the same run at the same time.
        let jobs = if self.group.is_some_and(|group| group.size() > 1) { 1 } else { jobs };
        let ends_all = |error: &Error| self.ends_all(error);
        let trained = parallel(jobs, runs.len(), ends_all, |task, job| {
            // All variants of one unit, then those of the next.
            let (run, unit) = (&runs[task], task / self.variants.len());
            let devices = if jobs > 1 { devices.of_member(job).into() } else { devices };
            if let Some(identity) = identities.get(unit)
                && let Some(result) = self.finished_for_all(run, identity, devices.first())?
            {
                observer.finished(&run.label, &result);
                return Ok(result);
            }
            self.train_run(run, &splits[unit], (devices, observer, stop))
        });
        self.gathered(summary, runs.into_iter().zip(trained), start)
    }

    /// Whether no other run is begun after an error. Of several processes the others wait in a run that one of them
    /// fails of, unless they come to the same error.
    fn ends_all(&self, error: &Error) -> bool {
        let is_shared = self.group.is_some_and(|group| group.size() > 1);
        !error.concerns_one_run() || (is_shared && !error.is_of_all_members())
    }

    /// Trains one run on this thread and those of its pool.
    fn train_run(
        &self,
        run: &PlannedRun,
        splits: &Splits,
        (devices, observer, stop): (Devices<'_>, &dyn Observer, Option<&Stop>),
    ) -> Result<RunResult> {
        let folder = self.folder_of(run);
        let options = RunOptions {
            devices,
            folder: folder.as_deref(),
            existing: self.existing,
            stop,
            observer,
            label: &run.label,
            group: self.group,
        };
        let trained = train(&self.config_of(run)?, splits, run.label.seed, options);
        let mut result = trained.inspect_err(|error| {
            if error.concerns_one_run() {
                observer.failed(&run.label, error);
            }
        })?;
        result.fold = run.label.fold;
        Ok(result)
    }

    /// The outcomes of runs by method.
    ///
    /// # Errors
    /// One that concerns all runs, and the first if all failed.
    fn gathered(
        &self,
        dataset: DatasetSummary,
        runs: impl IntoIterator<Item = (PlannedRun, Result<RunResult>)>,
        start: Instant,
    ) -> Result<SuiteResult> {
        let method = |variant: &Variant| MethodResult {
            name: variant.name.clone(),
            description: variant.description.clone(),
            runs: Vec::new(),
            failed: Vec::new(),
            cost: None,
        };
        let mut methods: Vec<MethodResult> = self.variants.iter().map(method).collect();
        let mut first_error = None;
        for (run, outcome) in runs {
            let unit = (run.label.seed, run.label.fold);
            let outcome = match outcome {
                Err(error) if self.ends_all(&error) => return Err(error),
                outcome => outcome,
            };
            if let Some(error) = keep(&mut methods[run.variant], unit, outcome)? {
                first_error.get_or_insert(error);
            }
        }
        let none_finished = methods.iter().all(|method| method.runs.is_empty());
        if let (Some(error), true) = (first_error, none_finished) {
            return Err(error);
        }
        Ok(SuiteResult {
            suite: self.name.clone(),
            title: self.title.clone(),
            dataset,
            truth: truth(self.dataset)?,
            settings: self.settings.clone(),
            versions: versions(),
            methods,
            baseline: self.baseline.clone(),
            published: self.published.clone(),
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Files a run's outcome under its method. An error that concerns this run alone is filed too and
/// returned as a value.
///
/// # Errors
/// One that concerns all runs.
pub fn keep(
    method: &mut MethodResult,
    (seed, fold): (u64, Option<usize>),
    run: Result<RunResult>,
) -> Result<Option<Error>> {
    match run {
        Ok(run) => {
            method.runs.push(run);
            Ok(None)
        }
        Err(error) if error.concerns_one_run() => {
            method.failed.push(FailedRun { seed, fold, problem: describe_error(&error) });
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

/// Refuses no seed, and one that is given twice.
///
/// # Errors
/// When it is so.
pub fn check_seeds(seeds: &[u64]) -> Result<()> {
    if seeds.is_empty() {
        return Err(Error::setting("seeds", "give at least one"));
    }
    match seeds.iter().enumerate().find(|(n, seed)| seeds[..*n].contains(seed)) {
        Some((_, seed)) => Err(Error::setting("seeds", format!("{seed} is given twice"))),
        None => Ok(()),
    }
}

/// `run(0, job), ..., run(tasks - 1, job)`, by `jobs` at a time, in order of the tasks. After an error that ends
/// all of them nothing new is begun: tasks that come later may be missing.
fn parallel(
    jobs: usize,
    tasks: usize,
    ends_all: impl Fn(&Error) -> bool + Sync,
    run: impl Fn(usize, usize) -> Result<RunResult> + Sync,
) -> Vec<Result<RunResult>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<RunResult>>>> =
        Mutex::new((0..tasks).map(|_| None).collect());
    let work = &|job: usize| {
        // One thread a run: small networks gain more from whole runs side by side than from
        // sharing out each operation.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            let result = match &pool {
                Ok(pool) => pool.install(|| run(task, job)),
                Err(_) => run(task, job),
            };
            if result.as_ref().is_err_and(&ends_all) {
                next.store(tasks, Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results[task] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for job in 1..jobs.clamp(1, tasks.max(1)) {
            scope.spawn(move || work(job));
        }
        work(0);
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Tasks that were never begun come after one whose error ends everything.
    results.into_iter().flatten().collect()
}

fn identity_of(splits: &Splits) -> Result<DataIdentity> {
    Ok(Identified::of(splits)?.data)
}

/// Versions of what computes.
pub fn versions() -> Vec<(String, String)> {
    vec![
        ("tcmax".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("candle".to_owned(), "0.11.1".to_owned()),
        ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_given_once() {
        check_seeds(&[0, 1, 2]).unwrap();
        let error = check_seeds(&[0, 1, 0]).unwrap_err();
        assert_eq!(error.to_string(), "seeds: 0 is given twice");
        assert!(check_seeds(&[]).unwrap_err().is_setting());
    }
}
