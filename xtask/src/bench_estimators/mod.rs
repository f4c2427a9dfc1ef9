//! `cargo xtask bench-estimators`: every estimator against truths known in closed form.

mod picture;
mod tasks;

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;
use tasks::{Suite, Task};
use tcmax_estimators::bound::TCNE;
use tcmax_estimators::fit::FitConfig;
use tcmax_estimators::{Estimate, EstimatorKind, Sample, estimate, estimators};
use tcmax_ops::Seed;
use tcmax_train::checkpoint::write_whole;

/// Options of `cargo xtask bench-estimators`.
#[derive(Args)]
pub struct BenchEstimators {
    /// Which tasks
    #[arg(long, value_enum, default_value_t = Suite::Own)]
    suite: Suite,
    /// Joint examples of every task
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// Draws of every task
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Seeds of every draw, each fitted, as `tcmax estimate --seeds` does
    #[arg(long, default_value_t = 1)]
    fits: u64,
    /// Estimators; plain is tcne without its Gaussian start
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,...",
        default_value = "tcne,plain,mine,nwj,infonce,smile,js,line,tree,ksg,gaussian"
    )]
    estimators: Vec<String>,
    /// Only tasks whose name holds this
    #[arg(long, value_name = "TEXT")]
    task: Option<String>,
    /// Seeds of the draws follow this one; others give other draws of the same tasks
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// How critics are fitted, where it is not as by default
    #[command(flatten)]
    fit: FitOptions,
    /// Where table, picture and results go [default: target/bench-estimators]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Settings of fits.
#[derive(Args)]
struct FitOptions {
    /// Critics, each with a part of the examples as its test split
    #[arg(long)]
    folds: Option<usize>,
    /// Fraction of the examples that validates
    #[arg(long)]
    validation: Option<f64>,
    /// Widths of hidden layers
    #[arg(long, value_delimiter = ',')]
    hidden: Option<Vec<usize>>,
    /// Joint examples in a batch
    #[arg(long)]
    batch: Option<usize>,
    /// Permutations of each batch
    #[arg(long)]
    permutations: Option<usize>,
    /// Steps at most
    #[arg(long)]
    steps: Option<usize>,
    /// Validations without a new best before training stops
    #[arg(long)]
    patience: Option<usize>,
    /// Largest learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
}

impl FitOptions {
    fn config(&self) -> FitConfig {
        let usual = FitConfig::default();
        let [validation, test] = usual.held_out;
        FitConfig {
            folds: self.folds.unwrap_or(usual.folds),
            held_out: [self.validation.unwrap_or(validation), test],
            hidden: self.hidden.clone().unwrap_or(usual.hidden),
            batch_size: self.batch.unwrap_or(usual.batch_size),
            permutations: self.permutations.unwrap_or(usual.permutations),
            steps: self.steps.unwrap_or(usual.steps),
            patience: self.patience.unwrap_or(usual.patience),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            ..usual
        }
    }
}

/// One estimator on one task.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    task: String,
    truth: f64,
    estimator: String,
    mean: f64,
    /// Standard deviation between draws; 0 for one.
    spread: f64,
    /// The largest estimate less the truth, less 1.96 standard errors, where there are any.
    worst_overshoot: Option<f64>,
    /// How many intervals of the draws hold the truth; none without intervals.
    covered: Option<usize>,
    seconds: f64,
    values: Vec<f64>,
    /// Midway between the bounds on held-out and on training examples; none without fits.
    guesses: Vec<f64>,
    /// Of the first fit of each draw: the bound on the test split, that on the training split, and the standard error;
    /// none without fits.
    bounds: Vec<[f64; 3]>,
}

impl BenchEstimators {
    /// Runs all tasks, printing each line as it is known, and writes the files.
    pub fn run(self) -> anyhow::Result<()> {
        let tasks: Vec<Task> = Task::all(self.suite)
            .into_iter()
            .filter(|task| self.task.as_ref().is_none_or(|text| task.name.contains(text)))
            .collect();
        if tasks.is_empty() || self.seeds == 0 || self.fits == 0 {
            bail!("no task has such a name, or --seeds or --fits is 0");
        }
        let mut out = std::io::stdout();
        let mut table =
            format!("{}{}", line(&HEADER.map(str::to_owned)), line(&RULE.map(str::to_owned)));
        write!(out, "{table}")?;
        let mut rows = Vec::new();
        for task in &tasks {
            for estimator in &self.estimators {
                let Some(row) = self.row(task, estimator)? else { continue };
                let text = row.line();
                write!(out, "{text}")?;
                out.flush()?;
                table += &text;
                rows.push(row);
            }
        }
        for estimator in &self.estimators {
            let text = summary(estimator, &rows);
            write!(out, "{text}")?;
            table += &text;
        }
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let default = || own.parent().unwrap_or(own).join("target/bench-estimators");
        let folder = self.out.clone().unwrap_or_else(default);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        write_whole(&folder.join("table.md"), table.as_bytes())?;
        write_whole(&folder.join("results.json"), serde_json::to_string_pretty(&rows)?.as_bytes())?;
        write_whole(
            &folder.join("estimate-against-truth.svg"),
            picture::svg(&rows, &self.estimators)?.as_bytes(),
        )?;
        writeln!(out, "\nwrote {}", folder.display())?;
        Ok(())
    }

    /// None where the estimator is not for the task.
    fn row(&self, task: &Task, estimator: &str) -> anyhow::Result<Option<Row>> {
        let of_seed = |seed: u64| -> anyhow::Result<Option<(Estimate, f64)>> {
            let sample = task.draw(self.rows, Seed::new(seed).stream("task"))?;
            let start = Instant::now();
            let estimate = estimate_draw(&sample, estimator, (seed, self.fits), self.fit.config())?;
            Ok(estimate.map(|estimate| (estimate, start.elapsed().as_secs_f64())))
        };
        let runs = (self.first_seed..self.first_seed + self.seeds)
            .into_par_iter()
            .map(of_seed)
            .collect::<anyhow::Result<Vec<_>>>()?;
        let Some(runs) = runs.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let values: Vec<f64> = runs.iter().map(|(run, _)| run.value).collect();
        let guesses = runs.iter().filter_map(|(run, _)| run.best_guess).collect();
        let bounds = runs.iter().filter_map(|(run, _)| run.fits.first());
        let bounds = bounds.map(|fit| [fit.held_out, fit.training, fit.standard_error]).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let overshoot = |(run, _): &(Estimate, f64)| {
            run.standard_error.map(|error| run.value - task.truth - 1.96 * error)
        };
        let covers = |(run, _): &(Estimate, f64)| {
            run.interval.map(|[low, high]| low <= task.truth && task.truth <= high)
        };
        let covers: Vec<bool> = runs.iter().filter_map(covers).collect();
        Ok(Some(Row {
            task: task.name.clone(),
            truth: task.truth,
            estimator: estimator.to_owned(),
            mean,
            spread: (squares / (count - 1.0).max(1.0)).sqrt(),
            worst_overshoot: runs.iter().filter_map(overshoot).reduce(f64::max),
            covered: (!covers.is_empty()).then(|| covers.iter().filter(|&&covers| covers).count()),
            seconds: runs.iter().map(|(_, seconds)| seconds).sum::<f64>() / count,
            values,
            guesses,
            bounds,
        }))
    }
}

/// The estimate; none where the estimator is not for such variables.
fn estimate_draw(
    sample: &Sample,
    name: &str,
    (seed, fits): (u64, u64),
    config: FitConfig,
) -> anyhow::Result<Option<Estimate>> {
    let variables = sample.variables().len();
    let numbers = sample.variables().iter().all(|v| v.classes().is_none());
    let estimator = if name == PLAIN { &TCNE } else { estimators().get(name)? };
    // Of two variables a sum has one part, which is tcne.
    let is_same = variables == 2 && matches!(estimator.kind, EstimatorKind::Sum(_));
    if is_same || (name == "gaussian" && !numbers) || estimator.check(variables).is_err() {
        return Ok(None);
    }
    let config = FitConfig { estimator, gaussian_start: name != PLAIN, ..config };
    // Other seeds for every draw.
    let seeds: Vec<u64> = (seed * fits..(seed + 1) * fits).collect();
    Ok(Some(estimate(sample, &config.check()?, &seeds)?))
}

/// An estimator over all of its tasks: the mean absolute error of single draws, of how many tasks the first interval
/// holds the truth, of how many draws, and the median time.
fn summary(estimator: &str, rows: &[Row]) -> String {
    let of: Vec<&Row> = rows.iter().filter(|row| row.estimator == estimator).collect();
    let errors = of.iter().flat_map(|row| row.values.iter().map(|value| (value - row.truth).abs()));
    let errors: Vec<f64> = errors.collect();
    let mut seconds: Vec<f64> = of.iter().map(|row| row.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let Some(median) = seconds.get(seconds.len() / 2) else { return String::new() };
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let mut text = format!(
        "\n{estimator}: {} tasks, mean absolute error {mean:.4} nats, {median:.1} s in the median",
        of.len()
    );
    let guesses =
        of.iter().flat_map(|row| row.guesses.iter().map(|guess| (guess - row.truth).abs()));
    let guesses: Vec<f64> = guesses.collect();
    if !guesses.is_empty() {
        let mean = guesses.iter().sum::<f64>() / guesses.len() as f64;
        let _ = write!(text, "; of the best guess {mean:.4}");
    }
    let covered: Vec<usize> = of.iter().filter_map(|row| row.covered).collect();
    if !covered.is_empty() {
        let (draws, held) = (errors.len(), covered.iter().sum::<usize>());
        let most = of.iter().filter(|row| row.covered.is_some_and(|n| 2 * n > row.values.len()));
        let _ = write!(
            text,
            "; {held} of {draws} intervals hold the truth, most of them on {} tasks",
            most.count()
        );
    }
    text + "\n"
}

/// TCNE without its Gaussian start.
const PLAIN: &str = "plain";

const HEADER: [&str; 8] =
    ["task", "truth", "estimator", "mean", "spread", "worst above interval", "covered", "s / fit"];
const RULE: [&str; 8] = ["---", "---:", "---", "---:", "---:", "---:", "---:", "---:"];

impl Row {
    fn line(&self) -> String {
        line(&[
            self.task.clone(),
            format!("{:.3}", self.truth),
            self.estimator.clone(),
            format!("{:.3}", self.mean),
            format!("{:.3}", self.spread),
            self.worst_overshoot.map_or_else(String::new, |worst| format!("{:.3}", worst.max(0.0))),
            self.covered.map_or_else(String::new, |n| format!("{n} of {}", self.values.len())),
            format!("{:.1}", self.seconds),
        ])
    }
}

/// A line of a Markdown table.
fn line(cells: &[String; 8]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
    text
}
