//! Several methods from several seeds on one data set, runs in parallel.

mod collect;
mod memory;
mod plan;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use candle_core::Device;
use tcmax_data::Splits;
use tcmax_datasets::DataSource;

use crate::dataset::{summary, truth};
use crate::observer::{Observer, RunLabel};
use crate::results::{FailedRun, MethodResult, RunResult, SuiteResult};
use crate::run_files::Existing;
use crate::stop::Stop;
use crate::trainer::{RunOptions, train};
use crate::{Error, Result, describe_error};

pub use collect::collect;
pub use memory::memory_of_run;
pub use plan::{Variant, variants};

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
}

/// What every variant is trained on once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    seed: u64,
    /// Of a cross-validation.
    fold: Option<usize>,
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
        let units = self.units();
        let splits_of = |unit: &Unit| match unit.fold {
            None => Ok(self.dataset.splits(unit.seed)?),
            Some(fold) => Ok(self.dataset.splits_of_fold(unit.seed, fold)?),
        };
        let splits: Vec<Splits> = units.iter().map(splits_of).collect::<Result<_>>()?;
        let first = splits.first().ok_or_else(|| Error::setting("seeds", "give at least one"))?;
        let summary = summary(self.dataset, first);
        let tasks: Vec<(usize, usize)> = (0..units.len())
            .flat_map(|unit| (0..self.variants.len()).map(move |method| (method, unit)))
            .collect();
        let runs = parallel(jobs, tasks.len(), |task| {
            let (method, position) = tasks[task];
            let (variant, unit) = (&self.variants[method], units[position]);
            let label = RunLabel { method: variant.name.clone(), seed: unit.seed, fold: unit.fold };
            let folder = self
                .folder
                .as_ref()
                .map(|folder| folder.join(file_name(&variant.name)).join(unit.folder()));
            let options = RunOptions {
                device,
                folder: folder.as_deref(),
                existing: self.existing,
                stop,
                observer,
                label: &label,
            };
            let of_fold = unit.fold.map(|fold| plan::of_fold(&variant.config, fold)).transpose()?;
            let config = of_fold.as_ref().unwrap_or(&variant.config);
            let trained = train(config, &splits[position], unit.seed, options);
            let mut result = trained.inspect_err(|error| {
                if error.concerns_one_run() {
                    observer.failed(&label, error);
                }
            })?;
            result.fold = unit.fold;
            Ok(result)
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
            let Unit { seed, fold } = units[position];
            if let Some(error) = keep(&mut methods[method], (seed, fold), run)? {
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

impl Suite<'_> {
    /// Every seed, with every fold of a cross-validation.
    fn units(&self) -> Vec<Unit> {
        let folds = |seed: u64| match self.dataset.folds() {
            None => vec![Unit { seed, fold: None }],
            Some(folds) => (0..folds).map(|fold| Unit { seed, fold: Some(fold) }).collect(),
        };
        self.seeds.iter().flat_map(|&seed| folds(seed)).collect()
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
        assert_eq!(error.to_string(), "seeds: 0 is given twice");
        assert!(check_seeds(&[]).unwrap_err().is_setting());
    }

    #[test]
    fn names_of_methods_make_folders() {
        assert_eq!(file_name("mla, no projection"), "mla-no-projection");
        assert_eq!(file_name("tcmax (bi-gated)"), "tcmax-bi-gated");
        assert_eq!(file_name("pmr, momentum 0.2"), "pmr-momentum-0.2");
    }
}
