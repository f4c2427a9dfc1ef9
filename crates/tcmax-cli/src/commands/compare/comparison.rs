//! A comparison that is trained, or whose runs other processes train.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tcmax_data::{Splits, memory_bytes};
use tcmax_datasets::DataSource;
use tcmax_parallel::Group;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{
    CheckedConfig, CompareOptions, Devices, Error, Existing, Experiment, FolderLock, Observer,
    PlannedRun, Registry, Stop, Suite, Variant, check_seeds, memory_of_run, refuse_comparison,
    variants,
};

use crate::commands::device::DeviceOption;
use crate::process::stop_on_signals;
use crate::progress::{Pace, TrainingProgress, say};

/// A comparison to train, with bars, files and a report.
pub struct Comparison<'a> {
    suite: Suite<'a>,
    folder: Option<PathBuf>,
    /// Runs at a time, where it is said.
    jobs: Option<usize>,
    /// How many the processor has cores and memory for.
    usual_jobs: usize,
    epochs: usize,
    device: DeviceOption,
    lock: Option<FolderLock>,
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
        check_seeds(&experiment.compare.seeds)?;
        let lock = folder.map(FolderLock::take).transpose()?;
        if let (Some(folder), Existing::Refuse) = (folder, existing) {
            refuse_comparison(folder, [])?;
        }
        let (mut comparison, splits) = Self::of(name, experiment, data, registry, folder)?;
        comparison.jobs = experiment.compare.jobs;
        if comparison.jobs.is_none() {
            comparison.usual_jobs = usual_jobs(&comparison.suite.variants, &splits)?;
        }
        comparison.suite.existing = existing;
        comparison.lock = lock;
        Ok(comparison)
    }

    /// The same for a folder that other processes work in as well, each on a run of its own.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn shared(
        experiment: &Experiment,
        data: &'a dyn DataSource,
        registry: &Registry,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        check_seeds(&experiment.compare.seeds)?;
        Ok(Self::of("compare", experiment, data, registry, Some(folder))?.0)
    }

    fn of(
        name: &str,
        experiment: &Experiment,
        data: &'a dyn DataSource,
        registry: &Registry,
        folder: Option<&Path>,
    ) -> anyhow::Result<(Self, Splits)> {
        let compare = &experiment.compare;
        let splits = data.splits(compare.seeds[0]).map_err(Error::from)?;
        let modalities: Vec<String> =
            splits.train.modalities().iter().map(|modality| modality.name.clone()).collect();
        let variants = variants(experiment, registry, &modalities)?;
        let baseline = baseline(compare, &variants)?;
        let candidates = |config: &CheckedConfig| config.candidates().len().max(1);
        let epochs = variants
            .iter()
            .map(|variant| variant.config.config().train.epochs * candidates(&variant.config));
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
            existing: Existing::Resume,
            baseline: Some(baseline),
            published: compare.published.clone(),
            group: None,
        };
        Ok((
            Self {
                suite,
                folder: folder.map(Path::to_owned),
                jobs: None,
                usual_jobs: 1,
                epochs,
                device: DeviceOption::default(),
                lock: None,
            },
            splits,
        ))
    }

    /// The comparison on a device.
    #[must_use]
    pub fn on(self, device: DeviceOption) -> Self {
        Self { device, ..self }
    }

    /// The comparison by several processes, which train every run together, one after the other.
    #[must_use]
    pub fn by(mut self, group: Option<&'a Arc<dyn Group>>) -> Self {
        self.suite.group = group;
        if group.is_some() {
            self.jobs = Some(1);
        }
        self
    }

    /// Every run.
    pub fn runs(&self) -> Vec<PlannedRun> {
        self.suite.runs()
    }

    /// Bars for the runs, which say how long all will take.
    pub fn progress(&self) -> Pace {
        let of_variant = |variant: &Variant| variant.config.candidates().len().max(1);
        let of_unit: usize = self.suite.variants.iter().map(of_variant).sum();
        let runs = self.runs().len() / self.suite.variants.len().max(1) * of_unit;
        Pace::new(TrainingProgress::new(), runs, self.epochs)
    }

    /// Says what comes, and trains every variant from every seed.
    ///
    /// # Errors
    /// When all runs fail, a file cannot be written, or a signal asked for the end.
    pub fn train(&self, observer: &dyn Observer) -> anyhow::Result<SuiteResult> {
        let devices = self.device.open()?;
        let devices = Devices::of(&devices).context("there is no device")?;
        // A GPU is no place for as many runs as there are cores.
        let jobs = self.jobs.unwrap_or(match devices.are_cpus() {
            true => self.usual_jobs,
            false => devices.count(),
        });
        let place = match &self.folder {
            Some(folder) => format!("the report {}", folder.join("report.html").display()),
            None => "no report, as there is no --out".to_owned(),
        };
        say(&format!(
            "{}: {} runs, {} epochs in all, {} at a time; then a table, and {place}. How long it takes is said \
             after the first epochs; an interrupted comparison goes on with --resume.",
            self.suite.title,
            self.runs().len(),
            self.epochs,
            jobs
        ));
        self.write_experiment()?;
        Ok(self.suite.run(jobs, devices, observer, Some(&stop_of_signals()?))?)
    }

    /// Writes the experiment as it is after all flags, from which it can be begun again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_experiment(&self) -> anyhow::Result<()> {
        if let (Some(folder), Some((_, settings))) = (&self.folder, self.suite.settings.first()) {
            write_whole(&folder.join("experiment.toml"), settings.as_bytes())?;
        }
        Ok(())
    }

    /// Trains the run in this folder alone, if it is not finished.
    ///
    /// # Errors
    /// When there is no such run, it fails, another process has it, or a signal asked for the end.
    pub fn train_one(&self, run: &str) -> anyhow::Result<SuiteResult> {
        let progress = TrainingProgress::new();
        let devices = self.device.open()?;
        let devices = Devices::of(&devices).context("there is no device")?;
        Ok(self.suite.run_one(run, devices, &progress, Some(&stop_of_signals()?))?)
    }

    /// The results of the runs that are finished, while no other process writes a report.
    ///
    /// # Errors
    /// When none is finished, or one is of other settings.
    pub fn finished(&mut self) -> anyhow::Result<SuiteResult> {
        self.lock = self.folder.as_deref().map(FolderLock::take).transpose()?;
        let devices = self.device.open()?;
        let devices = Devices::of(&devices).context("there is no device")?;
        Ok(self.suite.finished(devices.first(), &TrainingProgress::new())?)
    }

    /// Locks the folder, which is to hold no results and no runs unless they are to be gone on with.
    ///
    /// # Errors
    /// When it is in use, or holds some.
    pub fn claim(&mut self, existing: Existing) -> anyhow::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        self.lock = Some(FolderLock::take(folder)?);
        if existing == Existing::Refuse {
            let runs = self.suite.runs().into_iter();
            refuse_comparison(folder, runs.map(|run| folder.join("runs").join(run.folder)))?;
        }
        Ok(())
    }
}

fn stop_of_signals() -> anyhow::Result<Stop> {
    let stop = Stop::new();
    stop_on_signals(&stop).context("signals")?;
    Ok(stop)
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

/// As many runs as there are cores and memory for.
fn usual_jobs(variants: &[Variant], splits: &Splits) -> anyhow::Result<usize> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
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
