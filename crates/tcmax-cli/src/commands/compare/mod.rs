//! `tcmax compare`.

mod comparison;
mod slurm;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tcmax_datasets::DataSource;
use tcmax_report::{csv, html, markdown, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{
    CompareOptions, Error, Experiment, FolderLock, Registry, collect, refuse_comparison,
};

use super::experiment::{ExperimentOptions, OutputOptions};
use super::print;
use super::train::set_threads;
use crate::processes::Processes;
use crate::progress::say;

pub use comparison::Comparison;

/// Options of `tcmax compare`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tcmax compare --dataset clips.npz --methods joint,ogm-ge,tcmax --seeds \
                        0,1,2 --out study\n  tcmax compare --dataset clips.npz --methods joint,tcmax --set \
                        compare.grid.optimiser.learning-rate=[0.01,0.1] --out rates\n  tcmax compare --config \
                        experiments/quick.toml --out quick --resume\n  tcmax compare runs/a runs/b\n\n--out has \
                        results.json, results.csv, results.md, report.html (one self-contained page) and a \
                        folder of every run. Differences to the baseline are paired over the seeds; their p \
                        values are corrected for the number of methods (Holm). Runs go side by side, each on \
                        one thread; a run that fails does not end the others.\n\nOn a cluster: `--emit slurm` \
                        writes a job array into --out/slurm, one task per run, and trains nothing. `bash \
                        OUT/slurm/submit.sh` submits it, and the report for when all tasks have ended. Options \
                        of sbatch are keys of [compare.slurm]: --set compare.slurm.partition=gpu --set \
                        compare.slurm.time=02:00:00 --set compare.slurm.mem=8G --set \
                        compare.slurm.cpus-per-task=4 --set compare.slurm.gres=gpu:1. --jobs is the most tasks \
                        at a time. Submitted again, finished runs are left as they are, and the others go on."
)]
pub struct Compare {
    /// Folders of finished runs or comparisons: nothing is trained, they are put side by side
    #[arg(value_name = "RUNS")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    experiment: ExperimentOptions,
    /// Methods, by name (see `tcmax methods`), with settings of their own if need be, such as
    /// "tcmax weight=0.1 train.epochs=60" [default: joint,unimodal,tcmax]
    #[arg(long, value_delimiter = ',', value_name = "METHOD,...", help_heading = "Comparison")]
    methods: Option<Vec<String>>,
    /// Heads, each with every method that is defined for it [default: each method's own]
    #[arg(long, value_delimiter = ',', value_name = "HEAD,...", help_heading = "Comparison")]
    heads: Option<Vec<String>>,
    /// Seeds of every method [default: 0,1,2,3,4]
    #[arg(long, value_delimiter = ',', value_name = "SEED,...", help_heading = "Comparison")]
    seeds: Option<Vec<u64>>,
    /// The method that the others are compared with [default: joint, or the first]
    #[arg(long, value_name = "METHOD", help_heading = "Comparison")]
    baseline: Option<String>,
    /// Train a model of each modality alone too
    #[arg(long, help_heading = "Comparison")]
    each_modality: bool,
    /// Runs at a time, each on one thread [default: the number of cores, within memory]
    #[arg(long, help_heading = "Running")]
    jobs: Option<usize>,
    #[command(flatten)]
    output: OutputOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// How the runs of a comparison become processes of their own.
#[derive(Args)]
struct ClusterOptions {
    /// Train nothing: write scripts into --out that train every run as a job of its own
    #[arg(
        long,
        value_name = "SYSTEM",
        requires = "out",
        conflicts_with_all = ["runs", "force", "json"],
        help_heading = "On a cluster"
    )]
    emit: Option<System>,
    /// With --emit: processes that train each run together; needs a `tcmax` with the feature mpi
    #[arg(long, value_name = "N", requires = "emit", help_heading = "On a cluster")]
    ranks: Option<usize>,
    /// Train this run alone, named as its folder in --out/runs is (tcmax/seed-0): what a job does. A finished run
    /// is left as it is, another goes on, and no report is written
    #[arg(
        long,
        value_name = "RUN",
        requires = "out",
        conflicts_with_all = ["runs", "force", "emit"],
        help_heading = "On a cluster"
    )]
    only: Option<String>,
    /// Train nothing: write the report of the runs in --out that are finished
    #[arg(
        long,
        requires = "out",
        conflicts_with_all = ["runs", "force", "emit", "only"],
        help_heading = "On a cluster"
    )]
    report: bool,
}

/// What runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum System {
    /// Slurm, by job arrays.
    Slurm,
}

impl Compare {
    /// Trains and compares, or compares what was trained, or writes scripts that do.
    pub fn run(self, registry: &Registry, processes: &Processes) -> anyhow::Result<()> {
        let trains = self.runs.is_empty() && self.cluster.emit.is_none() && !self.cluster.report;
        if !trains && !processes.is_first() {
            return Ok(());
        }
        if !self.runs.is_empty() {
            return self.show(&self.side_by_side(registry)?);
        }
        set_threads(self.experiment.threads)?;
        let opened = || self.opened(registry);
        let (experiment, data) =
            if trains { processes.after_the_first(opened)? } else { opened()? };
        let data = data.as_ref();
        match (self.cluster.emit, &self.output.out) {
            (Some(System::Slurm), Some(out)) => self.emit(&experiment, data, registry, out),
            _ => self.show(&self.results(&experiment, data, registry, processes)?),
        }
    }

    fn show(&self, result: &SuiteResult) -> anyhow::Result<()> {
        if self.output.json {
            print(&serde_json::to_string_pretty(result)?)?;
        } else {
            print(&table::comparison(result))?;
        }
        Ok(result.complete()?)
    }

    fn side_by_side(&self, registry: &Registry) -> anyhow::Result<SuiteResult> {
        let mut result = collect(&self.runs, registry)?;
        result.baseline = self.baseline.clone().or(result.baseline);
        check_baseline(&result)?;
        if let Some(out) = &self.output.out {
            let _lock = FolderLock::take(out)?;
            if !self.output.force {
                refuse_comparison(out, [])?;
            }
            write_results(out, &result)?;
        }
        Ok(result)
    }

    /// The experiment of file and flags, and its data.
    fn opened(&self, registry: &Registry) -> anyhow::Result<(Experiment, Box<dyn DataSource>)> {
        let mut experiment = self.experiment.experiment(registry, None)?;
        self.apply(&mut experiment.compare);
        let config = self.experiment.check(experiment.config.clone(), registry)?;
        // Found again from any folder.
        experiment.config.data = config.config().data.clone();
        Ok((experiment, self.experiment.open(&config)?))
    }

    /// Trains all runs, one, or none; all but one leave their results in --out.
    fn results(
        &self,
        experiment: &Experiment,
        data: &dyn DataSource,
        registry: &Registry,
        processes: &Processes,
    ) -> anyhow::Result<SuiteResult> {
        let folder = self.output.out.as_deref();
        let (group, device) = (processes.group(), self.experiment.device.clone());
        if let (Some(folder), Some(run)) = (folder, &self.cluster.only) {
            let comparison = Comparison::shared(experiment, data, registry, folder)?;
            return comparison.on(device).by(group).train_one(run);
        }
        // The first process has the folder.
        let folder = folder.filter(|_| processes.is_first());
        let result = match folder {
            Some(folder) if self.cluster.report => {
                Comparison::shared(experiment, data, registry, folder)?.on(device).finished()?
            }
            _ => {
                let existing = self.output.existing();
                let comparison =
                    Comparison::new("compare", experiment, data, registry, folder, existing)?;
                let comparison = comparison.on(device).by(group);
                comparison.train(&comparison.progress())?
            }
        };
        if let Some(folder) = folder {
            write_results(folder, &result)?;
        }
        Ok(result)
    }

    /// Writes a job array that trains what this command would.
    fn emit(
        &self,
        experiment: &Experiment,
        data: &dyn DataSource,
        registry: &Registry,
        out: &Path,
    ) -> anyhow::Result<()> {
        let mut comparison = Comparison::shared(experiment, data, registry, out)?;
        comparison.claim(self.output.existing())?;
        comparison.write_experiment()?;
        let array = slurm::Array {
            options: &experiment.compare.slurm,
            at_a_time: experiment.compare.jobs,
            ranks: self.cluster.ranks,
            threads: self.experiment.threads,
            arguments: self.experiment.of_a_job(&experiment.config)?,
            runs: comparison.runs(),
        };
        print(&array.write(out)?)
    }

    fn apply(&self, compare: &mut CompareOptions) {
        let CompareOptions { methods, heads, seeds, .. } = compare;
        methods.clone_from(self.methods.as_ref().unwrap_or(&methods.clone()));
        heads.clone_from(self.heads.as_ref().unwrap_or(&heads.clone()));
        seeds.clone_from(self.seeds.as_ref().unwrap_or(&seeds.clone()));
        compare.baseline = self.baseline.clone().or(compare.baseline.take());
        compare.each_modality |= self.each_modality;
        compare.jobs = self.jobs.or(compare.jobs);
    }
}

fn check_baseline(result: &SuiteResult) -> anyhow::Result<()> {
    let Some(baseline) = &result.baseline else { return Ok(()) };
    if result.methods.iter().any(|method| method.name == *baseline) {
        return Ok(());
    }
    let known: Vec<&str> = result.methods.iter().map(|method| method.name.as_str()).collect();
    let problem = format!("no '{baseline}' is compared; choose one of: {}", known.join(", "));
    Err(Error::setting("compare.baseline", problem).into())
}

/// Writes the result in every form.
pub fn write_results(out: &Path, result: &SuiteResult) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| write_whole(&out.join(name), text.as_bytes());
    write("results.json", &serde_json::to_string_pretty(result)?)?;
    write("results.csv", &csv::runs(result))?;
    write("results.md", &markdown::comparison(result))?;
    write("report.html", &html(result))?;
    say(&format!("wrote {}", out.join("report.html").display()));
    Ok(())
}
