//! Several methods from several seeds on one data set, runs in parallel.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use candle_core::Device;

use crate::dataset::OpenDataset;
use crate::observer::{Observer, RunLabel};
use crate::results::{MethodResult, RunResult, SuiteResult};
use crate::trainer::{RunOptions, train};
use crate::{CheckedConfig, Error, Result};

/// One method of a comparison.
#[derive(Clone, Debug)]
pub struct Contender {
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
    pub contenders: Vec<Contender>,
    /// The seeds; every method gets each.
    pub seeds: Vec<u64>,
    /// Settings to show, as (name, value).
    pub settings: Vec<(String, String)>,
}

impl Suite<'_> {
    /// Trains every method from every seed, `jobs` runs at a time, each on one thread.
    ///
    /// Results do not depend on `jobs`: a run computes the same bits for any number of threads.
    ///
    /// # Errors
    /// The first run's that fails.
    pub fn run(
        &self,
        jobs: usize,
        device: &Device,
        observer: &dyn Observer,
    ) -> Result<SuiteResult> {
        let start = Instant::now();
        let splits: Vec<_> =
            self.seeds.iter().map(|&seed| self.dataset.splits(seed)).collect::<Result<_>>()?;
        let first = splits.first().ok_or_else(|| Error::setting("--seeds", "give at least one"))?;
        let summary = self.dataset.summary(first);
        let tasks: Vec<(usize, usize)> = (0..self.seeds.len())
            .flat_map(|seed| (0..self.contenders.len()).map(move |method| (method, seed)))
            .collect();
        let runs = parallel(jobs, tasks.len(), |task| {
            let (method, position) = tasks[task];
            let contender = &self.contenders[method];
            let seed = self.seeds[position];
            let label = RunLabel { method: contender.name.clone(), seed };
            let options =
                RunOptions { device, folder: None, resume: false, observer, label: &label };
            train(&contender.config, &splits[position], seed, options)
        })?;
        let mut methods: Vec<MethodResult> = self
            .contenders
            .iter()
            .map(|contender| MethodResult {
                name: contender.name.clone(),
                description: contender.description.clone(),
                runs: Vec::new(),
                cost: None,
            })
            .collect();
        for ((method, _), run) in tasks.iter().zip(runs) {
            methods[*method].runs.push(run);
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

/// `run(0), ..., run(tasks - 1)`, `jobs` at a time, in order of the tasks.
fn parallel(
    jobs: usize,
    tasks: usize,
    run: impl Fn(usize) -> Result<RunResult> + Sync,
) -> Result<Vec<RunResult>> {
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
            if result.is_err() {
                // Nothing new is begun after a failure.
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
    // Tasks that were never begun come after one that failed, whose error is returned first.
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
