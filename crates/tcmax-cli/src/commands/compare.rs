//! `tcmax compare`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use tcmax_data::memory_bytes;
use tcmax_datasets::DataSource;
use tcmax_report::{csv, html, markdown, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{
    CompareOptions, Error, Existing, Experiment, FolderLock, Observer, Registry, Stop, Suite,
    Variant, check_seeds, collect, memory_of_run, refuse_comparison, variants,
};

use super::experiment::{ExperimentOptions, OutputOptions};
use super::print;
use super::train::{device, set_threads};
use crate::process::stop_on_signals;
use crate::progress::{Pace, TrainingProgress, say};

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
                        one thread; a run that fails does not end the others."
)]
pub struct Compare {
    /// Folders of finished runs or comparisons: nothing is trained, they are put side by side
    #[arg(value_name = "RUNS")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    experiment: ExperimentOptions,
    /// Methods, by name (see `tcmax methods`) [default: joint,unimodal,tcmax]
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
}

impl Compare {
    /// Trains and compares, or compares what was trained.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        let result = if self.runs.is_empty() {
            self.train(registry)?
        } else {
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
            result
        };
        if self.output.json {
            print(&serde_json::to_string_pretty(&result)?)?;
        } else {
            print(&table::comparison(&result))?;
        }
        Ok(result.complete()?)
    }

    fn train(&self, registry: &Registry) -> anyhow::Result<SuiteResult> {
        set_threads(self.experiment.threads)?;
        let mut experiment = self.experiment.experiment(registry, None)?;
        self.apply(&mut experiment.compare);
        let config = self.experiment.check(experiment.config.clone(), registry)?;
        // Found again from any folder.
        experiment.config.data = config.config().data.clone();
        let data = self.experiment.open(&config)?;
        let existing = self.output.existing();
        let folder = self.output.out.as_deref();
        let comparison =
            Comparison::new("compare", &experiment, data.as_ref(), registry, folder, existing)?;
        let result = comparison.train(&comparison.progress())?;
        if let Some(folder) = folder {
            write_results(folder, &result)?;
        }
        Ok(result)
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

/// A comparison to train, with bars, files and a report.
pub struct Comparison<'a> {
    suite: Suite<'a>,
    folder: Option<PathBuf>,
    jobs: usize,
    epochs: usize,
    _lock: Option<FolderLock>,
}

impl<'a> Comparison<'a> {
    /// The comparison of an experiment on data that were opened for it. `folder` is where results and runs
    /// go, if anywhere.
    ///
    /// # Errors
    /// When a setting is wrong, the folder is in use or holds another comparison.
    pub fn new(
        name: &str,
        experiment: &Experiment,
        data: &'a dyn DataSource,
        registry: &Registry,
        folder: Option<&Path>,
        existing: Existing,
    ) -> anyhow::Result<Self> {
        let compare = &experiment.compare;
        check_seeds(&compare.seeds)?;
        let _lock = folder.map(FolderLock::take).transpose()?;
        if let (Some(folder), Existing::Refuse) = (folder, existing) {
            refuse_comparison(folder, [])?;
        }
        let splits = data.splits(compare.seeds[0]).map_err(Error::from)?;
        let modalities: Vec<String> =
            splits.train.modalities().iter().map(|modality| modality.name.clone()).collect();
        let variants = variants(experiment, registry, &modalities)?;
        let baseline = baseline(compare, &variants)?;
        let jobs = jobs(compare, &variants, &splits)?;
        let epochs = variants.iter().map(|variant| variant.config.config().train.epochs);
        let epochs = epochs.sum::<usize>() * compare.seeds.len() * data.folds().unwrap_or(1);
        let title = compare.title.clone().unwrap_or_else(|| format!("Methods on {}", data.title()));
        let suite = Suite {
            name: name.to_owned(),
            title,
            dataset: data,
            variants,
            seeds: compare.seeds.clone(),
            settings: vec![("experiment".to_owned(), experiment.to_toml()?)],
            folder: folder.map(|folder| folder.join("runs")),
            existing,
            baseline: Some(baseline),
            published: compare.published.clone(),
        };
        Ok(Self { suite, folder: folder.map(Path::to_owned), jobs, epochs, _lock })
    }

    /// The number of runs.
    fn runs(&self) -> usize {
        self.suite.variants.len() * self.suite.seeds.len() * self.suite.dataset.folds().unwrap_or(1)
    }

    /// Bars for the runs, which say how long all will take.
    pub fn progress(&self) -> Pace {
        Pace::new(TrainingProgress::new(), self.runs(), self.epochs)
    }

    /// Says what comes, and trains every variant from every seed.
    ///
    /// # Errors
    /// When all runs fail, a file cannot be written, or a signal asked for the end.
    pub fn train(&self, observer: &dyn Observer) -> anyhow::Result<SuiteResult> {
        let place = match &self.folder {
            Some(folder) => format!("the report {}", folder.join("report.html").display()),
            None => "no report, as there is no --out".to_owned(),
        };
        say(&format!(
            "{}: {} runs, {} epochs in all, {} at a time; then a table, and {place}. How long it takes is said \
             after the first epochs; an interrupted comparison goes on with --resume.",
            self.suite.title,
            self.runs(),
            self.epochs,
            self.jobs
        ));
        if let (Some(folder), Some((_, settings))) = (&self.folder, self.suite.settings.first()) {
            write_whole(&folder.join("experiment.toml"), settings.as_bytes())?;
        }
        let stop = Stop::new();
        stop_on_signals(&stop).context("signals")?;
        Ok(self.suite.run(self.jobs, &device()?, observer, Some(&stop))?)
    }
}

/// The name of the variant that the others are compared with.
fn baseline(compare: &CompareOptions, variants: &[Variant]) -> anyhow::Result<String> {
    let names = || variants.iter().map(|variant| variant.name.as_str());
    match &compare.baseline {
        Some(name) => match names().find(|other| other == name) {
            Some(name) => Ok(name.to_owned()),
            None => {
                let known = names().collect::<Vec<_>>().join(", ");
                let problem = format!("no '{name}' is compared; choose one of: {known}");
                Err(Error::setting("compare.baseline", problem).into())
            }
        },
        None => {
            let joint = names().find(|name| *name == "joint").or(names().next());
            Ok(joint.context("compare.methods: name at least one")?.to_owned())
        }
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

/// Runs at a time: as asked for, or as many as there are cores and memory for.
fn jobs(
    compare: &CompareOptions,
    variants: &[Variant],
    splits: &tcmax_data::Splits,
) -> anyhow::Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if let Some(jobs) = compare.jobs {
        return Ok(jobs);
    }
    let mut largest = 0;
    for variant in variants {
        largest = largest.max(memory_of_run(&variant.config, splits)?);
    }
    let fit = memory_bytes()
        .map_or(cores, |memory| usize::try_from(memory * 3 / 4 / largest.max(1)).unwrap_or(cores));
    if fit < cores {
        let gib = largest as f64 / f64::from(1 << 30);
        say(&format!("note: a run may take {gib:.1} GiB of memory; {} at a time", fit.max(1)));
    }
    Ok(cores.min(fit).max(1))
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
