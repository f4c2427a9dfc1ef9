//! `cargo xtask reproduce`: the main comparison, end to end.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::{Args, ValueEnum};
use tcmax_cli::process::stop_on_signals;
use tcmax_cli::progress::{DownloadBar, TrainingProgress, say};
use tcmax_datasets::{AvDigitsConfig, fetch};
use tcmax_fusion::{BI_GATED, CLIP, FILM, GATED, HeadSpec, SHARED, SUM};
use tcmax_losses::MethodSpec;
use tcmax_losses::methods::{JOINT, METHODS, MLA, PMR, TCMAX, UNIMODAL};
use tcmax_report::{html, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{
    DatasetConfig, Existing, FolderLock, OpenDataset, Registry, Stop, Suite, TrainConfig, Variant,
    check_seeds,
};

use crate::meter::Meter;
use crate::pace::{Pace, rough_minutes};

/// Options of `cargo xtask reproduce`.
#[derive(Args)]
pub struct Reproduce {
    /// What to compare on
    #[arg(long, value_enum, default_value_t = SuiteName::Quick)]
    suite: SuiteName,
    /// Folder with the data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Seeds of every method [default: 0,1,2,3,4]
    #[arg(long, value_delimiter = ',', value_name = "SEED,...")]
    seeds: Option<Vec<u64>>,
    /// methods: only these
    #[arg(long, value_delimiter = ',', value_name = "METHOD,...")]
    methods: Option<Vec<String>>,
    /// methods: each of them with these heads, where it is defined [default: its own head, and a few
    /// more for joint training and TCMax]
    #[arg(long, value_delimiter = ',', value_name = "HEAD,...")]
    heads: Option<Vec<String>>,
    /// Runs at a time, each on one thread [default: the number of cores]
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the report and the checkpoints go [default: target/reproduce/SUITE]; what another
    /// comparison left there is replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with an interrupted comparison of the same settings
    #[arg(long)]
    resume: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum SuiteName {
    /// Generated clips whose information is known; no files needed
    Quick,
    /// Spoken and handwritten digits, 300 training pairs
    AvDigits,
    /// Every method, and heads beside its own, on av-digits if its files are here, else on synthetic
    Methods,
}

impl SuiteName {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::AvDigits => "av-digits",
            Self::Methods => "methods",
        }
    }

    /// The settings; `has_digits` tells whether the recordings are at hand.
    fn config(self, has_digits: bool) -> TrainConfig {
        match self {
            Self::Methods if has_digits => Self::AvDigits.config(true),
            Self::Methods => Self::Quick.config(false),
            Self::Quick => TrainConfig { epochs: QUICK_EPOCHS, ..TrainConfig::default() },
            Self::AvDigits => TrainConfig {
                dataset: DatasetConfig::AvDigits(AvDigitsConfig {
                    train_size: Some(300),
                    val_size: 200,
                    ..AvDigitsConfig::default()
                }),
                ..TrainConfig::default()
            },
        }
    }

    /// Seconds that an epoch of a run takes on one core, measured on a common server; methods differ.
    fn epoch_seconds(self) -> f64 {
        match self {
            Self::Quick => 1.9,
            Self::AvDigits | Self::Methods => 2.2,
        }
    }

    fn seeds(self) -> Vec<u64> {
        match self {
            Self::Quick | Self::AvDigits | Self::Methods => vec![0, 1, 2, 3, 4],
        }
    }
}

/// Enough for every method to fit its training split.
const QUICK_EPOCHS: usize = 20;

impl Reproduce {
    /// Says what comes, trains everything, prints the table and writes the report.
    pub fn run(self) -> anyhow::Result<()> {
        let has_digits = self.data_dir.is_some() || fetch::is_cached("av-digits");
        let config = self.suite.config(has_digits);
        let seeds = self.seeds.clone().unwrap_or_else(|| self.suite.seeds());
        check_seeds(&seeds)?;
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| workspace().join("target/reproduce").join(self.suite.name()));
        let _lock = FolderLock::take(&out)?;
        let data =
            OpenDataset::open(&config.dataset, self.data_dir.as_deref(), &DownloadBar::new())?;
        let modalities = data
            .splits(*seeds.first().context("--seeds: give at least one")?)?
            .train
            .modalities()
            .iter()
            .map(|modality| modality.name.clone())
            .collect::<Vec<_>>();
        let variants = match self.suite {
            SuiteName::Methods => self.compared_methods(&config, modalities.len())?,
            _ => variants(&config, &modalities)?,
        };
        let what = match self.suite {
            SuiteName::Methods => "Methods and heads",
            _ => "Joint, unimodal and TCMax training",
        };
        let suite = Suite {
            name: self.suite.name().to_owned(),
            title: format!("{what} on {}", config.dataset.name()),
            dataset: &data,
            variants,
            seeds,
            settings: vec![("configuration".to_owned(), toml::to_string(&config)?)],
            folder: Some(out.join("runs")),
            existing: if self.resume { Existing::Resume } else { Existing::Replace },
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs = self.jobs.unwrap_or(cores);
        let runs = suite.variants.len() * suite.seeds.len();
        let epochs = runs * config.epochs;
        let minutes = rough_minutes(epochs as f64 * self.suite.epoch_seconds() / jobs as f64);
        say(&format!(
            "{}: {runs} runs of {} epochs, {jobs} at a time, about {minutes} here; then a table, and \
             the report {}. An interrupted comparison goes on with --resume.",
            suite.title,
            config.epochs,
            out.join("report.html").display()
        ));
        let meter = Meter::new(Pace::new(TrainingProgress::new(), runs, epochs));
        let stop = Stop::new();
        stop_on_signals(&stop).context("signals")?;
        let mut result = suite.run(jobs, &Device::Cpu, &meter, Some(&stop))?;
        if matches!(self.suite, SuiteName::Methods) {
            for method in &mut result.methods {
                method.cost = meter.cost(&method.name);
            }
        }
        let json = serde_json::to_string_pretty(&result)?;
        write_whole(&out.join("results.json"), json.as_bytes())?;
        show(&result, &out)?;
        Ok(result.complete()?)
    }
}

impl Reproduce {
    /// Methods by heads, as asked for.
    fn compared_methods(
        &self,
        config: &TrainConfig,
        modalities: usize,
    ) -> anyhow::Result<Vec<Variant>> {
        let registry = Registry::default();
        let methods = match &self.methods {
            Some(names) => {
                let of = |name: &String| registry.methods.get(name);
                names.iter().map(of).collect::<Result<Vec<_>, _>>()?
            }
            None => METHODS.to_vec(),
        };
        let heads = match &self.heads {
            Some(names) => {
                let of = |name: &String| registry.heads.get(name);
                Some(names.iter().map(of).collect::<Result<Vec<_>, _>>()?)
            }
            None => None,
        };
        let mut variants = Vec::new();
        for method in methods {
            let usual = method.usual_head;
            let heads = heads.clone().unwrap_or_else(|| usual_heads(method));
            for head in heads.into_iter().filter(|head| method.check(head, modalities).is_ok()) {
                let own = TrainConfig {
                    method: method.name.to_owned(),
                    head: head.name.to_owned(),
                    ..config.clone()
                };
                let name = match head == usual {
                    true => method.name.to_owned(),
                    false => format!("{method} ({head})"),
                };
                variants.push(variant(name, method, own)?);
            }
        }
        if self.methods.is_none() && self.heads.is_none() {
            variants.extend(other_forms(config)?);
        }
        Ok(variants)
    }
}

/// The head a method comes with, and those whose effect is of interest.
fn usual_heads(method: &'static MethodSpec) -> Vec<&'static HeadSpec> {
    let more: &[&'static HeadSpec] = if *method == JOINT {
        &[&SHARED, &FILM, &GATED]
    } else if *method == TCMAX {
        &[&SUM, &SHARED, &CLIP, &FILM, &GATED, &BI_GATED]
    } else {
        &[]
    };
    std::iter::once(method.usual_head).chain(more.iter().copied()).collect()
}

/// Methods whose paper and whose paper's code differ, in the form that is not the default here.
fn other_forms(config: &TrainConfig) -> anyhow::Result<Vec<Variant>> {
    let mut unprojected = config.clone();
    unprojected.method = MLA.name.to_owned();
    let options = toml::toml! { projection = "none" };
    unprojected.method_options.insert(MLA.name.to_owned(), options);
    let mut momentum = config.clone();
    momentum.method = PMR.name.to_owned();
    momentum.method_options.insert(PMR.name.to_owned(), toml::toml! { momentum = 0.2 });
    Ok(vec![
        variant("mla, no projection".to_owned(), &MLA, unprojected)?,
        variant("pmr, momentum 0.2".to_owned(), &PMR, momentum)?,
    ])
}

fn variant(
    name: String,
    method: &'static MethodSpec,
    config: TrainConfig,
) -> anyhow::Result<Variant> {
    let config = config.check()?;
    let description = format!("{}; head {}", method.description, config.head());
    Ok(Variant { name, description, config })
}

/// Options of `cargo xtask report`.
#[derive(Args)]
pub struct Report {
    /// Folder with results.json
    folder: PathBuf,
}

impl Report {
    /// Reads the results and shows them as if they had just been computed.
    pub fn run(self) -> anyhow::Result<()> {
        let path = self.folder.join("results.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let result = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        show(&result, &self.folder)
    }
}

/// Writes the report and prints the table.
fn show(result: &SuiteResult, folder: &Path) -> anyhow::Result<()> {
    let page = folder.join("report.html");
    write_whole(&page, html(result).as_bytes())?;
    writeln!(std::io::stdout(), "{}\n\nreport: {}", table::comparison(result), page.display())?;
    Ok(())
}

/// Every objective on all modalities, then each modality alone.
fn variants(config: &TrainConfig, modalities: &[String]) -> anyhow::Result<Vec<Variant>> {
    let mut variants = Vec::new();
    for method in [&JOINT, &UNIMODAL, &TCMAX] {
        variants.push(Variant {
            name: method.name.to_owned(),
            description: method.description.to_owned(),
            config: TrainConfig { method: method.name.to_owned(), ..config.clone() }.check()?,
        });
    }
    for name in modalities {
        let alone = TrainConfig {
            method: JOINT.name.to_owned(),
            modalities: vec![name.clone()],
            ..config.clone()
        };
        variants.push(Variant {
            name: format!("only {name}"),
            description: format!("cross-entropy of a model that sees {name} alone"),
            config: alone.check()?,
        });
    }
    Ok(variants)
}

/// The root of the workspace, wherever the command is run from.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
