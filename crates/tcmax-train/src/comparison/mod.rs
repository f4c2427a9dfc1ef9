//! Several methods from several seeds on one data set, runs in parallel.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use candle_core::Device;

use crate::dataset::OpenDataset;
use crate::observer::{Observer, RunLabel};
use crate::results::{FailedRun, MethodResult, RunResult, SuiteResult};
use crate::run_files::Existing;
use crate::stop::Stop;
use crate::trainer::{RunOptions, train};
use crate::{CheckedConfig, Error, Result, describe_error};

/// One method of a comparison.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its short name.
    pub name: String,
    /// One line on what it does.
    pub description: String,
    /// Its settings.
    pub config: CheckedConfig,
}

/// A comparison to run.
pub struct Suite<'a> {
    /// Its short name.
    pub name: String,
    /// One line on what is compared.
    pub title: String,
    /// The data.
    pub dataset: &'a OpenDataset,
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
}

impl Suite<'_> {
    /// Trains every method from every seed, `jobs` runs at a time, each on one thread.
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
        device: &Device,
        observer: &dyn Observer,
        stop: Option<&Stop>,
    ) -> Result<SuiteResult> {
        let start = Instant::now();
        check_seeds(&self.seeds)?;
        let splits: Vec<_> =
            self.seeds.iter().map(|&seed| self.dataset.splits(seed)).collect::<Result<_>>()?;
        let first = splits.first().ok_or_else(|| Error::setting("--seeds", "give at least one"))?;
        let summary = self.dataset.summary(first);
        let tasks: Vec<(usize, usize)> = (0..self.seeds.len())
            .flat_map(|seed| (0..self.variants.len()).map(move |method| (method, seed)))
            .collect();
        let runs = parallel(jobs, tasks.len(), |task| {
            let (method, position) = tasks[task];
            let variant = &self.variants[method];
            let seed = self.seeds[position];
            let label = RunLabel { method: variant.name.clone(), seed };
            let folder = self
                .folder
                .as_ref()
                .map(|folder| folder.join(file_name(&variant.name)).join(format!("seed-{seed}")));
            let options = RunOptions {
                device,
                folder: folder.as_deref(),
                existing: self.existing,
                stop,
                observer,
                label: &label,
            };
            train(&variant.config, &splits[position], seed, options)
        });
        let mut methods: Vec<MethodResult> = self
            .variants
            .iter()
            .map(|variant| MethodResult {
                name: variant.name.clone(),
                description: variant.description.clone(),
                runs: Vec::new(),
                failed: Vec::new(),
                cost: None,
            })
            .collect();
        let mut first_error = None;
        for (&(method, position), run) in tasks.iter().zip(runs) {
            let seed = self.seeds[position];
            if let Some(error) = keep(&mut methods[method], seed, run)? {
                first_error.get_or_insert(error);
            }
        }
        if let (Some(error), true) =
            (first_error, methods.iter().all(|method| method.runs.is_empty()))
        {
            return Err(error);
        }
        Ok(SuiteResult {
            suite: self.name.clone(),
            title: self.title.clone(),
            dataset: summary,
            truth: self.dataset.truth()?,
            settings: self.settings.clone(),
            versions: versions(),
            methods,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Files a run's outcome under its method. An error that concerns this run alone is filed too and
/// returned as a value.
///
/// # Errors
/// One that concerns all runs.
pub fn keep(method: &mut MethodResult, seed: u64, run: Result<RunResult>) -> Result<Option<Error>> {
    match run {
        Ok(run) => {
            method.runs.push(run);
            Ok(None)
        }
        Err(error) if error.concerns_one_run() => {
            method.failed.push(FailedRun { seed, problem: describe_error(&error) });
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
        return Err(Error::setting("--seeds", "give at least one"));
    }
    match seeds.iter().enumerate().find(|(n, seed)| seeds[..*n].contains(seed)) {
        Some((_, seed)) => Err(Error::setting("--seeds", format!("{seed} is given twice"))),
        None => Ok(()),
    }
}

/// A method's name as that of a folder.
fn file_name(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = name.chars().map(word).collect();
    name.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// `run(0), ..., run(tasks - 1)`, `jobs` at a time, in order of the tasks. After an error that concerns
/// all of them nothing new is begun: tasks that come later may be missing.
fn parallel(
    jobs: usize,
    tasks: usize,
    run: impl Fn(usize) -> Result<RunResult> + Sync,
) -> Vec<Result<RunResult>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<RunResult>>>> =
        Mutex::new((0..tasks).map(|_| None).collect());
    let work = || {
        // One thread a run: small networks gain more from whole runs side by side than from
        // sharing out each operation.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            let result = match &pool {
                Ok(pool) => pool.install(|| run(task)),
                Err(_) => run(task),
            };
            if result.as_ref().is_err_and(|error| !error.concerns_one_run()) {
                next.store(tasks, Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results[task] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.clamp(1, tasks.max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Tasks that were never begun come after one whose error ends everything.
    results.into_iter().flatten().collect()
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
        assert_eq!(error.to_string(), "--seeds: 0 is given twice");
        assert!(check_seeds(&[]).unwrap_err().is_setting());
    }

    #[test]
    fn names_of_methods_make_folders() {
        assert_eq!(file_name("mla, no projection"), "mla-no-projection");
        assert_eq!(file_name("tcmax (bi-gated)"), "tcmax-bi-gated");
        assert_eq!(file_name("pmr, momentum 0.2"), "pmr-momentum-0.2");
    }
}
