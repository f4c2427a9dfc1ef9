//! `cargo xtask reproduce`: the main comparison, end to end.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::{Args, ValueEnum};
use tcmax_data::AvDigitsConfig;
use tcmax_losses::MethodKind;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{
    Contender, DatasetConfig, DownloadBar, OpenDataset, Suite, TrainConfig, TrainingProgress,
    report, table,
};

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
    /// Runs at a time, each on one thread [default: the number of cores]
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the report goes [default: target/reproduce/SUITE]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SuiteName {
    /// Generated clips whose information is known; no files needed
    Quick,
    /// Spoken and handwritten digits, 300 training pairs
    AvDigits,
}

impl SuiteName {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::AvDigits => "av-digits",
        }
    }

    fn config(self) -> TrainConfig {
        match self {
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

    fn seeds(self) -> Vec<u64> {
        match self {
            Self::Quick | Self::AvDigits => vec![0, 1, 2, 3, 4],
        }
    }
}

/// Enough for every method to fit its training split.
const QUICK_EPOCHS: usize = 20;

impl Reproduce {
    /// Trains everything, prints the table and writes the report.
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.suite.config();
        let data =
            OpenDataset::open(&config.dataset, self.data_dir.as_deref(), &DownloadBar::new())?;
        let seeds = self.seeds.clone().unwrap_or_else(|| self.suite.seeds());
        let modalities = data
            .splits(*seeds.first().context("--seeds: give at least one")?)?
            .train
            .modalities()
            .iter()
            .map(|modality| modality.name.clone())
            .collect::<Vec<_>>();
        let suite = Suite {
            name: self.suite.name().to_owned(),
            title: format!("Joint, unimodal and TCMax training on {}", config.dataset.name()),
            dataset: &data,
            contenders: contenders(&config, &modalities)?,
            seeds,
            settings: vec![("configuration".to_owned(), toml::to_string(&config)?)],
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs = self.jobs.unwrap_or(cores);
        let result = suite.run(jobs, &Device::Cpu, &TrainingProgress::new())?;
        let out =
            self.out.unwrap_or_else(|| workspace().join("target/reproduce").join(&suite.name));
        std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
        let json = serde_json::to_string_pretty(&result)?;
        write_whole(&out.join("results.json"), json.as_bytes())?;
        show(&result, &out)
    }
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
    write_whole(&page, report::html(result).as_bytes())?;
    writeln!(std::io::stdout(), "{}\n\nreport: {}", table::comparison(result), page.display())?;
    Ok(())
}

/// Every objective on all modalities, then each modality alone.
fn contenders(config: &TrainConfig, modalities: &[String]) -> anyhow::Result<Vec<Contender>> {
    let mut contenders = Vec::new();
    for method in [MethodKind::Joint, MethodKind::Unimodal, MethodKind::Tcmax] {
        contenders.push(Contender {
            name: method.name().to_owned(),
            description: method.description().to_owned(),
            config: TrainConfig { method: method.name().to_owned(), ..config.clone() }.check()?,
        });
    }
    for name in modalities {
        let alone = TrainConfig {
            method: MethodKind::Joint.name().to_owned(),
            modalities: vec![name.clone()],
            ..config.clone()
        };
        contenders.push(Contender {
            name: format!("only {name}"),
            description: format!("cross-entropy of a model that sees {name} alone"),
            config: alone.check()?,
        });
    }
    Ok(contenders)
}

/// The root of the workspace, wherever the command is run from.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
