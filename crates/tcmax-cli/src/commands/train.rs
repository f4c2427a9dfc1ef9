//! `tcmax train`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use tcmax_datasets::DataSource;
use tcmax_parallel::Group;
use tcmax_report::{html, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::{MethodResult, SuiteResult};
use tcmax_train::{
    CheckedConfig, Devices, Error, Existing, FolderLock, Observer, Registry, RunLabel, RunOptions,
    Stop, check_seeds, keep, refuse_comparison, resume, train, versions,
};

use super::experiment::{ExperimentOptions, OutputOptions};
use super::print;
use crate::process::stop_on_signals;
use crate::processes::Processes;
use crate::progress::{Pace, TrainingProgress, say};

/// Options of `tcmax train`; what is not given comes from `--config`, or is the main recipe's.
#[derive(Args)]
pub struct Train {
    #[command(flatten)]
    experiment: ExperimentOptions,
    /// What to train by, such as joint or tcmax (see `tcmax methods`) [default: tcmax]
    #[arg(long, help_heading = "Model")]
    method: Option<String>,
    /// Seeds, each a run of its own; a seed fixes split, order, initial weights and noise
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0",
        value_name = "SEED,...",
        help_heading = "Running"
    )]
    seeds: Vec<u64>,
    #[command(flatten)]
    output: OutputOptions,
}

impl Train {
    /// Trains every seed and prints the result.
    pub fn run(mut self, registry: &Registry, processes: &Processes) -> anyhow::Result<()> {
        set_threads(self.experiment.threads)?;
        let experiment = || self.experiment.experiment(registry, self.method.as_deref());
        let settings = processes.after_the_first(experiment)?.config;
        let config = self.experiment.check(settings, registry)?;
        check_seeds(&self.seeds)?;
        let existing = self.output.existing();
        self.output.out.take_if(|_| !processes.is_first());
        let _lock = self.output.out.as_deref().map(FolderLock::take).transpose()?;
        let devices = self.experiment.device.open()?;
        let devices = Devices::of(&devices).context("there is no device")?;
        let config = self.look_at_runs(config, devices.first())?;
        let data = processes.after_the_first(|| self.experiment.open(&config))?;
        if self.output.out.is_none() {
            say("note: without --out DIR the model is not kept, only the result is printed");
        }
        let given = (existing, processes.group());
        let result = self.train_seeds(&config, data.as_ref(), devices, given)?;
        if let Some(out) = &self.output.out {
            write_report(out, &result)?;
        }
        if self.output.json {
            print(&serde_json::to_string_pretty(&result)?)?;
        } else {
            print(&table::comparison(&result))?;
        }
        if self.output.out.is_none() {
            say("note: the model was not kept; --out DIR keeps it for `tcmax eval` and `predict`");
        }
        Ok(result.complete()?)
    }

    /// Refuses runs in --out, or takes from them what has to stay as it was, before data are read.
    fn look_at_runs(
        &self,
        config: CheckedConfig,
        device: &Device,
    ) -> anyhow::Result<CheckedConfig> {
        let Some(out) = &self.output.out else { return Ok(config) };
        let mut runs = self.seeds.iter().map(|&seed| (seed, run_folder(out, seed)));
        match self.output.existing() {
            Existing::Refuse => refuse_comparison(out, runs.map(|(_, run)| run))?,
            Existing::Replace => {}
            Existing::Resume => {
                for (seed, run) in runs.by_ref() {
                    if let Some((_, progress)) = resume::read(&run, device)? {
                        return Ok(resume::continued(&config, (&progress, seed), &run)?);
                    }
                }
            }
        }
        Ok(config)
    }

    fn train_seeds(
        &self,
        config: &CheckedConfig,
        data: &dyn DataSource,
        devices: Devices<'_>,
        (existing, group): (Existing, Option<&Arc<dyn Group>>),
    ) -> anyhow::Result<SuiteResult> {
        let start = std::time::Instant::now();
        let runs = self.seeds.len() * config.candidates().len().max(1);
        let epochs = config.config().train.epochs * runs;
        let progress = Pace::new(TrainingProgress::new(), runs, epochs);
        let stop = Stop::new();
        stop_on_signals(&stop).context("signals")?;
        let mut method = MethodResult {
            name: config.method().name.to_owned(),
            description: config.method().description.to_owned(),
            runs: Vec::with_capacity(self.seeds.len()),
            failed: Vec::new(),
            cost: None,
        };
        let mut summary = None;
        let mut first_error = None;
        for &seed in &self.seeds {
            let splits = data.splits(seed).map_err(Error::from)?;
            summary.get_or_insert_with(|| tcmax_train::summary(data, &splits));
            let folder = self.output.out.as_ref().map(|out| run_folder(out, seed));
            let label = RunLabel { method: method.name.clone(), seed, fold: None };
            let options = RunOptions {
                devices,
                folder: folder.as_deref(),
                existing,
                stop: Some(&stop),
                observer: &progress,
                label: &label,
                group,
            };
            let trained = train(config, &splits, seed, options);
            if trained.as_ref().is_err_and(|error| group.is_some() && !error.is_of_all_members()) {
                return Err(trained.err().context("the error")?.into());
            }
            if let Some(error) = keep(&mut method, (seed, None), trained)? {
                progress.failed(&label, &error);
                first_error.get_or_insert(error);
            }
        }
        match (first_error, summary) {
            (Some(error), _) if method.runs.is_empty() => Err(error.into()),
            (_, None) => Err(Error::setting("--seeds", "give at least one").into()),
            (_, Some(dataset)) => Ok(SuiteResult {
                suite: "train".to_owned(),
                title: format!("{} on {}", method.name, dataset.name),
                truth: tcmax_train::truth(data)?,
                dataset,
                settings: vec![("configuration".to_owned(), toml::to_string(config.config())?)],
                versions: versions(),
                methods: vec![method],
                baseline: None,
                published: BTreeMap::new(),
                seconds: start.elapsed().as_secs_f64(),
            }),
        }
    }
}

/// The folder of one seed's run.
fn run_folder(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("seed-{seed}"))
}

/// More threads than any machine has cores.
const MOST_THREADS: usize = 1_024;

/// Sizes the one thread pool that computes.
pub fn set_threads(threads: Option<usize>) -> anyhow::Result<()> {
    if threads.is_some_and(|threads| !(1..=MOST_THREADS).contains(&threads)) {
        let problem = format!("must be at least 1, and at most {MOST_THREADS}");
        return Err(Error::setting("--threads", problem).into());
    }
    if let Some(threads) = threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    Ok(())
}

fn write_report(out: &Path, result: &SuiteResult) -> anyhow::Result<()> {
    write_whole(&out.join("results.json"), serde_json::to_string_pretty(result)?.as_bytes())?;
    write_whole(&out.join("report.html"), html(result).as_bytes())?;
    say(&format!("wrote {}", out.join("report.html").display()));
    Ok(())
}
