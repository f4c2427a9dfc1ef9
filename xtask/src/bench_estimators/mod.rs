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
use tasks::Task;
use tcmax_estimators::bound::TCNE;
use tcmax_estimators::fit::FitConfig;
use tcmax_estimators::{EstimatorKind, Sample, estimate, estimators};
use tcmax_ops::Seed;
use tcmax_train::checkpoint::write_whole;

/// Options of `cargo xtask bench-estimators`.
#[derive(Args)]
pub struct BenchEstimators {
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
    /// Where table, picture and results go [default: target/bench-estimators]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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
    seconds: f64,
    values: Vec<f64>,
}

impl BenchEstimators {
    /// Runs all tasks, printing each line as it is known, and writes the files.
    pub fn run(self) -> anyhow::Result<()> {
        let tasks: Vec<Task> = Task::all()
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
        let of_seed = |seed: u64| -> anyhow::Result<Option<(f64, Option<f64>, f64)>> {
            let sample = task.draw(self.rows, Seed::new(seed).stream("task"))?;
            let start = Instant::now();
            let Some((value, error)) = estimate_draw(&sample, estimator, seed, self.fits)? else {
                return Ok(None);
            };
            Ok(Some((value, error, start.elapsed().as_secs_f64())))
        };
        let runs =
            (0..self.seeds).into_par_iter().map(of_seed).collect::<anyhow::Result<Vec<_>>>()?;
        let Some(runs) = runs.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let values: Vec<f64> = runs.iter().map(|(value, ..)| *value).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let overshoot = |&(value, error, _): &(f64, Option<f64>, f64)| {
            error.map(|error| value - task.truth - 1.96 * error)
        };
        Ok(Some(Row {
            task: task.name.clone(),
            truth: task.truth,
            estimator: estimator.to_owned(),
            mean,
            spread: (squares / (count - 1.0).max(1.0)).sqrt(),
            worst_overshoot: runs.iter().filter_map(overshoot).reduce(f64::max),
            seconds: runs.iter().map(|(.., seconds)| seconds).sum::<f64>() / count,
            values,
        }))
    }
}

/// The value and its standard error; none where the estimator is not for such variables.
fn estimate_draw(
    sample: &Sample,
    name: &str,
    seed: u64,
    fits: u64,
) -> anyhow::Result<Option<(f64, Option<f64>)>> {
    let variables = sample.variables().len();
    let numbers = sample.variables().iter().all(|v| v.classes().is_none());
    let estimator = if name == PLAIN { &TCNE } else { estimators().get(name)? };
    // Of two variables a sum has one part, which is tcne.
    let is_same = variables == 2 && matches!(estimator.kind, EstimatorKind::Sum(_));
    if is_same || (name == "gaussian" && !numbers) || estimator.check(variables).is_err() {
        return Ok(None);
    }
    let config = FitConfig { estimator, gaussian_start: name != PLAIN, ..FitConfig::default() };
    // Other seeds for every draw.
    let seeds: Vec<u64> = (seed * fits..(seed + 1) * fits).collect();
    let estimate = estimate(sample, &config.check()?, &seeds)?;
    Ok(Some((estimate.value, estimate.standard_error)))
}

/// TCNE without its Gaussian start.
const PLAIN: &str = "plain";

const HEADER: [&str; 7] =
    ["task", "truth", "estimator", "mean", "spread", "worst above interval", "s / fit"];
const RULE: [&str; 7] = ["---", "---:", "---", "---:", "---:", "---:", "---:"];

impl Row {
    fn line(&self) -> String {
        line(&[
            self.task.clone(),
            format!("{:.3}", self.truth),
            self.estimator.clone(),
            format!("{:.3}", self.mean),
            format!("{:.3}", self.spread),
            self.worst_overshoot.map_or_else(String::new, |worst| format!("{:.3}", worst.max(0.0))),
            format!("{:.1}", self.seconds),
        ])
    }
}

/// A line of a Markdown table.
fn line(cells: &[String; 7]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
    text
}
