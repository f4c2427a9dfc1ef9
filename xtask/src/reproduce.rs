//! `cargo xtask reproduce`: the main comparison, end to end.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tcmax_cli::progress::{DownloadBar, PrepareBar, say};
use tcmax_cli::{Comparison, parse_assignment, write_results};
use tcmax_datasets::{Opening, fetch, recipe_of};
use tcmax_media::{ListOptions, PrepareOptions, list_plan, prepare};
use tcmax_report::{html, table};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{Existing, Experiment, Registry, open_data};

use crate::leaderboard;
use crate::meter::Meter;

/// Options of `cargo xtask reproduce`.
#[derive(Args)]
pub struct Reproduce {
    /// What to compare: a file of the folder `experiments`
    #[arg(long, value_enum, default_value_t = SuiteName::Quick)]
    suite: SuiteName,
    /// Folder with the data set's files; without it they are downloaded into the cache
    #[arg(long, env = "TCMAX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Published data sets: the folder with the media (`tcmax datasets NAME` says how it is laid out); clips are
    /// prepared from it first, as the paper's code does it. The leaderboard: the folder with what `tcmax prepare` has
    /// made, and feature files, called as in experiments/leaderboard.toml
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Published data sets: folder with the split lists [default: the root, or its folder splits]
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// Set any key of the experiment, such as train.epochs=2
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seeds of every method [default: those of the experiment]
    #[arg(long, value_delimiter = ',', value_name = "SEED,...")]
    seeds: Option<Vec<u64>>,
    /// Only these methods
    #[arg(long, value_delimiter = ',', value_name = "METHOD,...")]
    methods: Option<Vec<String>>,
    /// Each method with these heads, where it is defined
    #[arg(long, value_delimiter = ',', value_name = "HEAD,...")]
    heads: Option<Vec<String>>,
    /// The leaderboard: only these data sets
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    data_sets: Option<Vec<String>>,
    /// Runs at a time, each on one thread [default: the number of cores, within memory]
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
    /// Every method on generated regimes and, if their files are here, digits, each choosing its settings on the
    /// validation split; writes a page
    Leaderboard,
    /// CREMA-D with the paper's settings; needs --root
    CremaD,
    /// Kinetics-Sounds with the paper's settings; needs --root
    KineticsSounds,
    /// AVE with the paper's settings; needs --root
    Ave,
    /// VGGSound with the paper's settings; needs --root
    Vggsound,
    /// UCF101 with the paper's settings; needs --root
    Ucf101,
}

impl SuiteName {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::AvDigits => "av-digits",
            Self::Methods => "methods",
            Self::Leaderboard => "leaderboard",
            Self::CremaD => "crema-d",
            Self::KineticsSounds => "kinetics-sounds",
            Self::Ave => "ave",
            Self::Vggsound => "vggsound",
            Self::Ucf101 => "ucf101",
        }
    }

    /// Whether its data are media that have to be prepared.
    fn is_prepared(self) -> bool {
        !matches!(self, Self::Quick | Self::AvDigits | Self::Methods | Self::Leaderboard)
    }

    /// The experiment of the file; `has_digits` tells whether the recordings are at hand.
    fn experiment(self, has_digits: bool) -> anyhow::Result<Experiment> {
        let mut experiment = read(self.name())?;
        if matches!(self, Self::Methods) && !has_digits {
            experiment.config = read(Self::Quick.name())?.config;
            experiment.compare.title = Some("Methods and heads on synthetic".to_owned());
        }
        Ok(experiment)
    }
}

fn read(name: &str) -> anyhow::Result<Experiment> {
    let path = workspace().join("experiments").join(name).with_extension("toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Experiment::from_toml(&text).with_context(|| path.display().to_string())
}

/// Makes the clips of a published data set as the paper's code does, or goes on with them.
fn prepare_clips(
    name: &str,
    root: Option<&Path>,
    lists: Option<PathBuf>,
    out: &Path,
) -> anyhow::Result<PathBuf> {
    let root = root.with_context(|| {
        format!("--root: give the folder with the media of '{name}'; `tcmax datasets {name}` tells about them")
    })?;
    let options = ListOptions { lists, recipe: Some("paper".to_owned()), ..ListOptions::default() };
    let plan = list_plan(name, recipe_of(name)?.clone(), root, &options)?;
    let clips = out.join("clips");
    prepare(&plan, &clips, &PrepareOptions::default(), &PrepareBar::new())?;
    Ok(clips)
}

/// Says which published figures the results will stand beside.
fn say_published(experiment: &Experiment) {
    for (method, accuracy) in &experiment.compare.published {
        say(&format!(
            "published test accuracy of {method}: {accuracy} %, which the report shows beside its own"
        ));
    }
}

impl Reproduce {
    /// Says what comes, trains everything, prints the table and writes the report.
    pub fn run(self) -> anyhow::Result<()> {
        if matches!(self.suite, SuiteName::Leaderboard) {
            return self.leaderboard();
        }
        if self.data_sets.is_some() {
            anyhow::bail!("--data-sets: only the leaderboard has several");
        }
        let registry = Registry::default();
        let has_digits = self.data_dir.is_some() || fetch::is_cached("av-digits");
        let mut experiment = self.suite.experiment(has_digits)?;
        let compare = &mut experiment.compare;
        compare.seeds = self.seeds.unwrap_or(std::mem::take(&mut compare.seeds));
        compare.methods = self.methods.unwrap_or(std::mem::take(&mut compare.methods));
        compare.heads = self.heads.unwrap_or(std::mem::take(&mut compare.heads));
        compare.jobs = self.jobs.or(compare.jobs);
        for assignment in &self.set {
            let (key, value) = parse_assignment(assignment)?;
            experiment.set(&key, value)?;
        }
        let name = self.suite.name();
        let out = self.out.unwrap_or_else(|| workspace().join("target/reproduce").join(name));
        if self.suite.is_prepared() {
            let clips = prepare_clips(name, self.root.as_deref(), self.lists, &out)?;
            let clips = clips.to_str().context("the path of the clips is not Unicode")?;
            experiment.set("data.path", clips.into())?;
        }
        say_published(&experiment);
        let config = experiment.config.clone().check()?;
        let opening = Opening {
            data_dir: self.data_dir.as_deref(),
            downloads: &DownloadBar::new(),
            clips: &PrepareBar::new(),
            recipe: None,
        };
        let data = open_data(&config, &opening)?;
        let existing = if self.resume { Existing::Resume } else { Existing::Replace };
        let comparison =
            Comparison::new(name, &experiment, data.as_ref(), &registry, Some(&out), existing)?;
        let meter = Meter::new(comparison.progress());
        let mut result = comparison.train(&meter)?;
        if matches!(self.suite, SuiteName::Methods) {
            for method in &mut result.methods {
                method.cost = meter.cost(&method.name);
            }
        }
        write_results(&out, &result)?;
        show(&result, &out)?;
        Ok(result.complete()?)
    }
}

impl Reproduce {
    fn leaderboard(self) -> anyhow::Result<()> {
        if self.heads.is_some() {
            anyhow::bail!("--heads: the leaderboard has every method with its own head");
        }
        let name = self.suite.name();
        let request = leaderboard::Request {
            data_dir: self.data_dir,
            root: self.root,
            set: self.set,
            seeds: self.seeds,
            methods: self.methods,
            data_sets: self.data_sets,
            jobs: self.jobs,
            out: self.out.unwrap_or_else(|| workspace().join("target/reproduce").join(name)),
            resume: self.resume,
        };
        request.run(&workspace().join("experiments/leaderboard.toml"))
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
    write_whole(&page, html(result).as_bytes())?;
    writeln!(std::io::stdout(), "{}\n\nreport: {}", table::comparison(result), page.display())?;
    Ok(())
}

/// The root of the workspace, wherever the command is run from.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
