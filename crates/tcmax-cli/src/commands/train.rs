//! `tcmax train`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use tcmax_data::{SplitRule, UserDataConfig};
use tcmax_datasets::AvDigitsSplit;
use tcmax_report::{html, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::{MethodResult, SuiteResult};
use tcmax_train::{
    CheckedConfig, DatasetConfig, EncoderConfig, Error, Existing, FolderLock, OpenDataset,
    Registry, RunLabel, RunOptions, Stop, TrainConfig, check_seeds, keep, manifest_clips,
    refuse_comparison, resume, train, versions,
};

use super::print;
use crate::process::stop_on_signals;
use crate::progress::{DownloadBar, PrepareBar, TrainingProgress, say};

/// Options of `tcmax train`; what is not given comes from `--config`, or is the main recipe's.
#[derive(Args)]
pub struct Train {
    /// Read settings from a TOML file; options on the command line win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data set: synthetic, av-digits (see `tcmax datasets`), or the path of a feature file, of a
    /// folder of feature tables, of a manifest of media, or of prepared clips (see `tcmax inspect`)
    #[arg(long, value_name = "NAME or PATH")]
    dataset: Option<String>,
    /// Folder with the data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// What to train by, such as joint or tcmax (see `tcmax methods`)
    #[arg(long)]
    method: Option<String>,
    /// Fusion head, such as concat or film (see `tcmax methods`) [default: the method's own]
    #[arg(long)]
    head: Option<String>,
    /// Set an option of the method or the head: with --method ogm for instance ogm.alpha=0.5, with
    /// --head gated head.hidden=64 (`tcmax methods NAME` lists them)
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Modalities to use, by name [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    modalities: Option<Vec<String>>,
    /// Encoder, such as resnet18 (see `tcmax methods`) [default: resnet-slim]
    #[arg(long)]
    encoder: Option<String>,
    /// Channels of the first stage of resnet-slim [default: 8]
    #[arg(long)]
    width: Option<usize>,
    /// Units of each layer of the perceptron for feature vectors [default: 128,128]
    #[arg(long, value_delimiter = ',', value_name = "UNITS,...")]
    mlp_widths: Option<Vec<usize>>,
    /// Leave feature vectors as they are, instead of standardising them by the training split
    #[arg(long)]
    no_standardise: bool,
    /// Epochs [default: 40]; with --resume they may be more than before
    #[arg(long)]
    epochs: Option<usize>,
    /// Examples in a batch [default: 32]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Leave out the last batch of an epoch when it is not full
    #[arg(long)]
    drop_last: bool,
    /// Learning rate [default: 0.05]
    #[arg(long)]
    lr: Option<f64>,
    /// Momentum [default: 0.9]
    #[arg(long)]
    momentum: Option<f64>,
    /// Weight decay [default: 1e-4]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Epochs between drops of the learning rate [default: three quarters of the epochs]
    #[arg(long)]
    lr_step: Option<usize>,
    /// Factor of each drop [default: 0.1]
    #[arg(long)]
    lr_gamma: Option<f64>,
    /// Scale gradients down to at most this joint norm
    #[arg(long)]
    clip_norm: Option<f64>,
    /// Training examples
    #[arg(long)]
    train_size: Option<usize>,
    /// Validation examples
    #[arg(long)]
    val_size: Option<usize>,
    /// av-digits: standard or speaker; user data: given, random or group
    #[arg(long)]
    split: Option<String>,
    #[command(flatten)]
    user_data: UserDataOptions,
    /// av-digits: blank a square of this many pixels a side in every image
    #[arg(long, value_name = "PIXELS")]
    occlusion: Option<usize>,
    /// av-digits: mix a second talker in at this signal-to-noise ratio
    #[arg(long, value_name = "DB", allow_hyphen_values = true)]
    talker_snr_db: Option<f64>,
    /// Seeds, each a run of its own; a seed fixes split, order, initial weights and noise
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "SEED,...")]
    seeds: Vec<u64>,
    /// Write checkpoints, results and a report into this folder; without it the model is not kept
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the runs in --out: after an interruption, for more --epochs, with more --seeds
    #[arg(long, requires = "out")]
    resume: bool,
    /// Replace the runs in --out
    #[arg(long, requires = "out", conflicts_with = "resume")]
    force: bool,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Loader threads; they never change results [default: 1]
    #[arg(long)]
    workers: Option<usize>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Options of user data.
#[derive(Args)]
struct UserDataOptions {
    /// User data: column or array with the labels [default: label and its like]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// User data: column or array with groups, none of which --split group puts in two splits
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// User data: folds of a cross-validation
    #[arg(long)]
    folds: Option<usize>,
    /// User data: the fold to test on, from 0
    #[arg(long, requires = "folds")]
    fold: Option<usize>,
    /// User data: fraction for testing, where it is drawn [default: 0.2]
    #[arg(long)]
    test_fraction: Option<f64>,
    /// User data: fraction of the rest for validation, where it is drawn [default: 0.2]
    #[arg(long)]
    val_fraction: Option<f64>,
}

impl UserDataOptions {
    /// The first option that was given.
    fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--label", self.label.is_some()),
            ("--group", self.group.is_some()),
            ("--folds", self.folds.is_some()),
            ("--test-fraction", self.test_fraction.is_some()),
            ("--val-fraction", self.val_fraction.is_some()),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    fn apply(&self, split: Option<&str>, options: &mut UserDataConfig) -> anyhow::Result<()> {
        options.label = self.label.clone().or(options.label.take());
        options.group = self.group.clone().or(options.group.take());
        options.folds = self.folds.or(options.folds);
        options.fold = self.fold.unwrap_or(options.fold);
        options.test_fraction = self.test_fraction.unwrap_or(options.test_fraction);
        options.val_fraction = self.val_fraction.unwrap_or(options.val_fraction);
        options.split = match split {
            None => options.split,
            Some("given") => Some(SplitRule::Given),
            Some("random") => Some(SplitRule::Random),
            Some("group") => Some(SplitRule::Group),
            Some(other) => {
                let problem = format!("no split '{other}'; choose given, random or group");
                return Err(Error::setting("--split", problem).into());
            }
        };
        Ok(())
    }
}

impl Train {
    /// Trains every seed and prints the result.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let config = self.settings(registry)?.check_with(registry)?;
        check_seeds(&self.seeds)?;
        let _lock = self.out.as_deref().map(FolderLock::take).transpose()?;
        let device = device()?;
        let config = self.look_at_runs(config, &device)?;
        if let DatasetConfig::Files(options) = &config.config().dataset {
            // Opening would do it too, but silently.
            manifest_clips(options, &PrepareBar::new())?;
        }
        let data = OpenDataset::open(
            &config.config().dataset,
            self.data_dir.as_deref(),
            &DownloadBar::new(),
        )?;
        for note in data.notes() {
            say(&format!("note: {note}"));
        }
        for warning in data.warnings() {
            say(&format!("warning: {warning}"));
        }
        if self.out.is_none() {
            say("note: without --out DIR the model is not kept, only the result is printed");
        }
        let result = self.train_seeds(&config, &data, &device)?;
        if let Some(out) = &self.out {
            write_report(out, &result)?;
        }
        if self.json {
            print(&serde_json::to_string_pretty(&result)?)?;
        } else {
            print(&table::comparison(&result))?;
        }
        if self.out.is_none() {
            say("note: the model was not kept; --out DIR keeps it for `tcmax eval` and `predict`");
        }
        Ok(result.complete()?)
    }

    fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        }
    }

    /// Refuses runs in --out, or takes from them what has to stay as it was, before data are read.
    fn look_at_runs(
        &self,
        config: CheckedConfig,
        device: &Device,
    ) -> anyhow::Result<CheckedConfig> {
        let Some(out) = &self.out else { return Ok(config) };
        let mut runs = self.seeds.iter().map(|&seed| (seed, run_folder(out, seed)));
        match self.existing() {
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
        data: &OpenDataset,
        device: &Device,
    ) -> anyhow::Result<SuiteResult> {
        let start = std::time::Instant::now();
        let progress = TrainingProgress::new();
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
            let splits = data.splits(seed)?;
            summary.get_or_insert_with(|| data.summary(&splits));
            let folder = self.out.as_ref().map(|out| run_folder(out, seed));
            let label = RunLabel { method: method.name.clone(), seed };
            let options = RunOptions {
                device,
                folder: folder.as_deref(),
                existing: self.existing(),
                stop: Some(&stop),
                observer: &progress,
                label: &label,
            };
            if let Some(error) = keep(&mut method, seed, train(config, &splits, seed, options))? {
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
                truth: data.truth()?,
                dataset,
                settings: vec![("configuration".to_owned(), toml::to_string(config.config())?)],
                versions: versions(),
                methods: vec![method],
                seconds: start.elapsed().as_secs_f64(),
            }),
        }
    }

    /// The settings of the file, or the defaults, with the command line's on top.
    fn settings(&self, registry: &Registry) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            Some(path) => read_config(path)?,
            None => TrainConfig::default(),
        };
        if let Some(name) = self.dataset.as_ref().filter(|name| !names(&config.dataset, name)) {
            config.dataset = DatasetConfig::by_name(name)?;
        }
        let put = |value: &Option<f64>, field: &mut f64| *field = value.unwrap_or(*field);
        put(&self.lr, &mut config.learning_rate);
        put(&self.momentum, &mut config.momentum);
        put(&self.weight_decay, &mut config.weight_decay);
        put(&self.lr_gamma, &mut config.lr_gamma);
        let put = |value: &Option<usize>, field: &mut usize| *field = value.unwrap_or(*field);
        put(&self.epochs, &mut config.epochs);
        put(&self.batch_size, &mut config.batch_size);
        put(&self.workers, &mut config.workers);
        config.method = self.method.clone().unwrap_or(config.method);
        config.head = self.head.clone().unwrap_or(config.head);
        config.modalities = self.modalities.clone().unwrap_or(config.modalities);
        config.drop_last |= self.drop_last;
        config.standardise &= !self.no_standardise;
        config.lr_step = self.lr_step.or(config.lr_step);
        config.clip_norm = self.clip_norm.or(config.clip_norm);
        self.encoder_settings(&mut config.encoder, registry)?;
        for option in &self.options {
            set_option(&mut config, registry, option)?;
        }
        config.mlp_widths = self.mlp_widths.clone().unwrap_or(config.mlp_widths);
        self.dataset_settings(&mut config.dataset)?;
        Ok(config)
    }

    fn encoder_settings(
        &self,
        config: &mut EncoderConfig,
        registry: &Registry,
    ) -> anyhow::Result<()> {
        if let Some(name) = self.encoder.as_ref().filter(|name| **name != config.network) {
            *config = EncoderConfig { network: name.clone(), options: toml::Table::new() };
        }
        let Some(width) = self.width else { return Ok(()) };
        let encoder = registry.encoders.get(&config.network).map_err(Error::from)?;
        if !encoder.options.documentation().iter().any(|option| option.name == "width") {
            let problem = format!("'{}' has no option for it; leave it out", encoder.name);
            return Err(Error::setting("--width", problem).into());
        }
        let width = i64::try_from(width).unwrap_or(i64::MAX);
        config.options.insert("width".to_owned(), width.into());
        match encoder.options.complete(&config.options) {
            Err(tcmax_registry::Error::OutOfRange { problem, .. }) => {
                Err(Error::setting("--width", problem).into())
            }
            _ => Ok(()),
        }
    }

    fn dataset_settings(&self, dataset: &mut DatasetConfig) -> anyhow::Result<()> {
        if let (false, Some(field)) = (is_user_data(dataset), self.user_data.first_given()) {
            let problem = "is an option of user data; add --dataset PATH";
            return Err(Error::setting(field, problem).into());
        }
        match dataset {
            DatasetConfig::Files(options) => {
                let foreign = [
                    ("--train-size", self.train_size.is_some()),
                    ("--val-size", self.val_size.is_some()),
                    ("--occlusion", self.occlusion.is_some()),
                    ("--talker-snr-db", self.talker_snr_db.is_some()),
                ];
                if let Some((field, _)) = foreign.iter().find(|(_, given)| *given) {
                    let problem = "is an option of synthetic or av-digits; for user data see \
                                   --test-fraction and --val-fraction";
                    return Err(Error::setting(*field, problem).into());
                }
                self.user_data.apply(self.split.as_deref(), options)?;
            }
            DatasetConfig::Synthetic(options) => {
                let foreign = [
                    ("--split", self.split.is_some()),
                    ("--occlusion", self.occlusion.is_some()),
                    ("--talker-snr-db", self.talker_snr_db.is_some()),
                ];
                if let Some((field, _)) = foreign.iter().find(|(_, given)| *given) {
                    let problem = "is an option of av-digits; add --dataset av-digits";
                    return Err(Error::setting(*field, problem).into());
                }
                options.train_size = self.train_size.unwrap_or(options.train_size);
                options.val_size = self.val_size.unwrap_or(options.val_size);
            }
            DatasetConfig::AvDigits(options) => {
                options.train_size = self.train_size.or(options.train_size);
                options.val_size = self.val_size.unwrap_or(options.val_size);
                options.occlusion = self.occlusion.or(options.occlusion);
                options.talker_snr_db = self.talker_snr_db.or(options.talker_snr_db);
                options.split = match self.split.as_deref() {
                    None => options.split,
                    Some("standard") => AvDigitsSplit::Standard,
                    Some("speaker") => AvDigitsSplit::Speaker,
                    Some(other) => {
                        let problem = format!("no split '{other}'; choose standard or speaker");
                        return Err(Error::setting("--split", problem).into());
                    }
                };
            }
        }
        Ok(())
    }
}

/// Puts one `method.option=value` (or one of `head` or `encoder`) into its place.
fn set_option(config: &mut TrainConfig, registry: &Registry, option: &str) -> anyhow::Result<()> {
    let wrong = |problem: String| Error::setting(format!("--option {option}"), problem);
    let Some((key, value)) = option.split_once('=') else {
        return Err(wrong("give it as KEY=VALUE, such as ogm.alpha=0.5".to_owned()).into());
    };
    let Some((owner, field)) = key.trim().split_once('.') else {
        return Err(wrong("the key is METHOD.OPTION, such as ogm.alpha".to_owned()).into());
    };
    // Words need no quotes; everything else is TOML.
    let value: toml::Value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));
    let method = registry.methods.get(&config.method).map_err(Error::from)?;
    let head = config.head(registry)?;
    let encoder = registry.encoders.get(&config.encoder.network).map_err(Error::from)?;
    let (specified, given) = match owner {
        "head" => (head.options, &mut config.head_options),
        "encoder" => (encoder.options, &mut config.encoder.options),
        _ if owner == method.name => {
            (method.options, config.method_options.entry(owner.to_owned()).or_default())
        }
        _ if registry.methods.get(owner).is_ok() => {
            return Err(wrong(format!("the method is '{method}'; add --method {owner}")).into());
        }
        _ => return Err(wrong(format!("no method '{owner}'; see `tcmax methods`")).into()),
    };
    let names: Vec<String> = specified.documentation().into_iter().map(|doc| doc.name).collect();
    if !names.iter().any(|name| name == field) {
        let subject = match owner {
            "head" => format!("the head '{head}'"),
            "encoder" => format!("the encoder '{}'", encoder.name),
            _ => format!("'{owner}'"),
        };
        let problem = match names[..] {
            [] => format!("{subject} has no options"),
            _ => format!("{subject} has no option '{field}'; its options are {}", names.join(", ")),
        };
        return Err(wrong(problem).into());
    }
    given.insert(field.to_owned(), value);
    specified.complete(given).map_err(|error| wrong(error.to_string()))?;
    Ok(())
}

/// The folder of one seed's run.
fn run_folder(out: &Path, seed: u64) -> PathBuf {
    out.join(format!("seed-{seed}"))
}

/// Whether the settings are of the data set that `--dataset` names.
fn names(dataset: &DatasetConfig, name: &str) -> bool {
    match dataset {
        DatasetConfig::Files(options) => options.path == Path::new(name),
        other => other.name() == name,
    }
}

fn is_user_data(dataset: &DatasetConfig) -> bool {
    matches!(dataset, DatasetConfig::Files(_))
}

fn read_config(path: &Path) -> anyhow::Result<TrainConfig> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(TrainConfig::from_toml(&text)
        .map_err(|e| Error::setting(format!("--config {}", path.display()), e.to_string()))?)
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

/// The device the program was built for.
pub fn device() -> anyhow::Result<Device> {
    if cfg!(feature = "cuda") {
        return Ok(Device::new_cuda(0)?);
    }
    if cfg!(feature = "metal") {
        return Ok(Device::new_metal(0)?);
    }
    Ok(Device::Cpu)
}

fn write_report(out: &Path, result: &SuiteResult) -> anyhow::Result<()> {
    write_whole(&out.join("results.json"), serde_json::to_string_pretty(result)?.as_bytes())?;
    write_whole(&out.join("report.html"), html(result).as_bytes())?;
    say(&format!("wrote {}", out.join("report.html").display()));
    Ok(())
}
