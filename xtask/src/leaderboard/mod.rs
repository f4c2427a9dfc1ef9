//! `cargo xtask reproduce --suite leaderboard`: every method on several data sets, and the page that joins them.

mod costs;
mod methods;
mod plan;
mod told;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tcmax_cli::progress::{DownloadBar, PrepareBar, say};
use tcmax_cli::{Comparison, parse_assignment, write_results};
use tcmax_datasets::{AV_DIGITS, DataSource, Opening, fetch};
use tcmax_report::leaderboard::{BoardSet, Leaderboard, html, markdown};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::results::SuiteResult;
use tcmax_train::{Error, Existing, Experiment, Registry, describe_error, open_data, variants};

use crate::meter::Meter;
use costs::Costs;
use methods::Methods;
use plan::{Plan, PlannedSet};
use told::Told;

/// What is asked for on the command line.
pub struct Request {
    /// Folder with the recordings, where it is given.
    pub data_dir: Option<PathBuf>,
    /// Folder with the data of published sets, prepared clips or feature files, where it is given.
    pub root: Option<PathBuf>,
    /// Keys of every data set's experiment, as KEY=VALUE.
    pub set: Vec<String>,
    /// Seeds, other than those of the plan.
    pub seeds: Option<Vec<u64>>,
    /// Only these methods.
    pub methods: Option<Vec<String>>,
    /// Only these data sets.
    pub data_sets: Option<Vec<String>>,
    /// Runs at a time.
    pub jobs: Option<usize>,
    /// Where everything goes.
    pub out: PathBuf,
    /// Whether to go on with what is there.
    pub resume: bool,
}

/// A data set with what is compared on it.
struct Ready<'a> {
    set: &'a PlannedSet,
    experiment: Experiment,
    data: Box<dyn DataSource>,
    undefined: Vec<(String, String)>,
    folder: PathBuf,
}

impl Ready<'_> {
    fn runs(&self) -> usize {
        self.experiment.compare.methods.len() * self.experiment.compare.seeds.len()
    }
}

impl Request {
    /// Says what comes, trains everything, and writes the pages after every data set.
    pub fn run(&self, plan_file: &Path) -> anyhow::Result<()> {
        let registry = Registry::default();
        let text =
            std::fs::read_to_string(plan_file).with_context(|| plan_file.display().to_string())?;
        let plan = Plan::read(&text).with_context(|| plan_file.display().to_string())?;
        let mut notes = vec![format!(
            "Every method has its usual head, and chooses on the validation split of every seed from {} candidates: \
             values of its main option and learning rates, or learning rates alone.",
            plan.candidates
        )];
        if !self.set.is_empty() {
            notes.push(format!("Settings other than the plan's: {}.", self.set.join(", ")));
        }
        let mut ready = Vec::new();
        for set in plan.chosen(self.data_sets.as_deref())? {
            match self.opened(set, &plan, &registry)? {
                Some(set) => ready.push(set),
                None => notes.push(self.left_out(set)),
            }
        }
        self.say_what_comes(&ready, &plan, &registry);
        let settings = vec![("leaderboard.toml".to_owned(), text)];
        let mut board =
            Leaderboard { title: plan.title.clone(), notes, sets: Vec::new(), settings };
        let mut failed = Vec::new();
        for (n, set) in ready.iter().enumerate() {
            let later = ready[n + 1..].iter().map(Ready::runs).sum();
            match self.result(set, later, &registry) {
                Ok(result) => {
                    let (name, about) = (set.set.name.clone(), set.set.about.clone());
                    let undefined = set.undefined.clone();
                    board.sets.push(BoardSet { name, about, result: slim(result), undefined });
                    self.write(&board)?;
                }
                Err(error) if is_interruption(&error) => return Err(error),
                Err(error) => {
                    let problem = describe_error(error.as_ref());
                    say(&format!("{}: {problem}", set.set.name));
                    failed.push(format!("{}: {problem}", set.set.name));
                }
            }
        }
        self.write(&board)?;
        let page = self.out.join("leaderboard.html");
        writeln!(std::io::stdout(), "{}\n\nleaderboard: {}", markdown(&board), page.display())?;
        match failed.is_empty() {
            true => Ok(()),
            false => anyhow::bail!("no result of {}", failed.join("; ")),
        }
    }

    /// The data, and what is compared on them; nothing where the files are not here.
    fn opened<'a>(
        &self,
        set: &'a PlannedSet,
        plan: &Plan,
        registry: &Registry,
    ) -> anyhow::Result<Option<Ready<'a>>> {
        let mut experiment = plan.experiment(set)?;
        for assignment in &self.set {
            let (key, value) = parse_assignment(assignment)?;
            experiment.set(&key, value)?;
        }
        let needs_files = experiment.config.data.name == AV_DIGITS.name;
        if needs_files && self.data_dir.is_none() && !fetch::is_cached(AV_DIGITS.name) {
            say(&self.left_out(set));
            return Ok(None);
        }
        if let Some(path) = &set.path {
            let Some(path) = self.below_root(path) else {
                say(&self.left_out(set));
                return Ok(None);
            };
            let path = path.to_str().context("--root: the path is not Unicode")?;
            experiment.set("data.path", path.into())?;
        }
        let opening = Opening {
            data_dir: self.data_dir.as_deref(),
            downloads: &DownloadBar::new(),
            clips: &PrepareBar::new(),
            recipe: None,
        };
        let data = open_data(&experiment.config.clone().check_with(registry)?, &opening)?;
        let compare = &mut experiment.compare;
        compare.title = Some(format!("Methods on {}", set.name));
        let usual = || set.seeds.clone().unwrap_or_else(|| plan.seeds.clone());
        compare.seeds = self.seeds.clone().unwrap_or_else(usual);
        compare.jobs = self.jobs.or(compare.jobs);
        let first = *compare.seeds.first().context("--seeds: give at least one")?;
        let train = data.splits(first)?.train;
        let of_data = (&experiment.config, train.modalities());
        let Methods { defined, undefined } =
            methods::of(self.methods.as_deref(), (plan, set), registry, of_data)?;
        compare.methods = defined;
        let modalities: Vec<String> = train.modalities().iter().map(|m| m.name.clone()).collect();
        // What is wrong with a grid is said before anything is trained.
        variants(&experiment, registry, &modalities)?;
        let folder = self.out.join(&set.name);
        Ok(Some(Ready { set, experiment, data, undefined, folder }))
    }

    /// Where the data of a published set are, if they are.
    fn below_root(&self, path: &Path) -> Option<PathBuf> {
        let path = self.root.as_ref()?.join(path);
        path.exists().then_some(path)
    }

    /// Why a data set is not among those that are compared on.
    fn left_out(&self, set: &PlannedSet) -> String {
        let name = &set.name;
        match (&set.path, &self.root) {
            (None, _) => format!(
                "{name} is left out: its files are not here; --data-dir names their folder, and `tcmax datasets {}` \
                 says where they are from.",
                AV_DIGITS.name
            ),
            (Some(path), None) => {
                format!("{name} is left out: --root names the folder that has {}.", path.display())
            }
            (Some(path), Some(root)) => {
                format!("{name} is left out: there is no {}.", root.join(path).display())
            }
        }
    }

    fn say_what_comes(&self, ready: &[Ready<'_>], plan: &Plan, registry: &Registry) {
        for name in plan.unused_grids(&registry.methods.names()) {
            say(&format!("note: there is no method '{name}', and its grid is not used"));
        }
        let runs: usize = ready.iter().map(Ready::runs).sum();
        say(&format!(
            "{}: {} data sets, {runs} runs, each of which trains {} candidates: {} models. How long it takes is said \
             after the first run; interrupted, it goes on with --resume.",
            plan.title,
            ready.len(),
            plan.candidates,
            runs * plan.candidates
        ));
        for set in ready {
            let (methods, seeds) =
                (set.experiment.compare.methods.len(), set.experiment.compare.seeds.len());
            let mut line = format!("  {}: {methods} methods, {seeds} seeds", set.set.name);
            if !set.undefined.is_empty() {
                let names: Vec<&str> =
                    set.undefined.iter().map(|(name, _)| name.as_str()).collect();
                line += &format!("; not defined: {}", names.join(", "));
            }
            say(&line);
        }
    }

    /// The results on a data set: those that are there, if they are of the same settings, or trained ones.
    fn result(
        &self,
        ready: &Ready<'_>,
        later: usize,
        registry: &Registry,
    ) -> anyhow::Result<SuiteResult> {
        if self.resume
            && let Some(result) = finished(ready)?
        {
            say(&format!("{}: all runs are finished", ready.set.name));
            return Ok(result);
        }
        std::fs::create_dir_all(&ready.folder)
            .with_context(|| ready.folder.display().to_string())?;
        let existing = if self.resume { Existing::Resume } else { Existing::Replace };
        let (data, folder) = (ready.data.as_ref(), Some(ready.folder.as_path()));
        let comparison =
            Comparison::new("leaderboard", &ready.experiment, data, registry, folder, existing)?;
        let meter = Meter::new(Told::new(&ready.set.name, ready.runs(), later));
        let mut costs = if self.resume { Costs::read(&ready.folder)? } else { Costs::default() };
        let trained = comparison.train(&meter);
        // An interrupted comparison has measured some, too.
        costs.add(&meter);
        costs.write(&ready.folder)?;
        let mut result = trained?;
        for method in &mut result.methods {
            method.cost = costs.of(&method.name);
        }
        write_results(&ready.folder, &result)?;
        Ok(result)
    }

    fn write(&self, board: &Leaderboard) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        write_whole(&self.out.join("leaderboard.md"), markdown(board).as_bytes())?;
        write_whole(&self.out.join("leaderboard.html"), html(board).as_bytes())?;
        Ok(())
    }
}

/// The results in the folder, where every run of the same experiment is among them.
fn finished(ready: &Ready<'_>) -> anyhow::Result<Option<SuiteResult>> {
    let path = ready.folder.join("results.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let result: SuiteResult =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let settings = ready.experiment.to_toml()?;
    let is_same = result.settings.iter().any(|(_, value)| *value == settings);
    Ok((is_same && result.complete().is_ok()).then_some(result))
}

/// The results without what the page does not show.
fn slim(mut result: SuiteResult) -> SuiteResult {
    for run in result.methods.iter_mut().flat_map(|method| &mut method.runs) {
        run.history = Vec::new();
        run.test.confusion = Vec::new();
    }
    result
}

fn is_interruption(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Interrupted { .. }))
}
