//! `cargo xtask bench-peers`: our training operations and losses and PyTorch's, alternately, as ratios.

mod encoders;
mod losses;
mod tasks;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use candle_core::Device;
use clap::Args;

use crate::bench_load;
use serde::{Deserialize, Serialize};
use tcmax_benches::{CASES, Case, DEVICE_CASES};

pub use encoders::BenchEncoders;
pub use tasks::BenchTasks;

/// PyTorch's side, run by the given Python.
const TORCH_CASES: &str = include_str!("../../benches/peers/torch_cases.py");

#[derive(Args)]
pub struct BenchPeers {
    /// A Python that has PyTorch: python3 -m venv DIR && DIR/bin/pip install torch
    #[arg(long, env = "TCMAX_PYTHON", value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Times each side is run in turn; the ratio is the median over rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Only cases whose name begins so, such as "step" or "conv-56", or "losses"
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Where both sides compute: cpu, or cuda, with cases of its own; needs the feature cuda
    #[arg(long, default_value = "cpu", value_parser = ["cpu", "cuda"])]
    device: String,
    /// What encoders multiply: f32, or bf16, which is autocast on PyTorch's side
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    precision: String,
    /// Where the figures go, as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench-peers.json")]
    out: PathBuf,
}

/// Our side of one measurement, in a process of its own.
#[derive(Args)]
pub struct OwnCase {
    /// A case's name, or losses-BATCHxCLASSESxWIDTH.
    case: String,
    threads: usize,
    count: usize,
    #[arg(default_value = "cpu")]
    device: String,
    #[arg(default_value = "f32")]
    precision: String,
}

/// What one process reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Milliseconds of each call.
    pub(crate) times: Vec<f64>,
    /// Largest resident memory of the process.
    pub(crate) peak_kib: u64,
    #[serde(default)]
    pub(crate) version: String,
}

impl Report {
    pub(crate) fn median(&self) -> f64 {
        median(&self.times)
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    case: &'static str,
    title: &'static str,
    threads: usize,
    /// Milliseconds, medians over all rounds.
    ours: f64,
    torch: f64,
    channels_last: Option<f64>,
    /// ours / torch of each round.
    ratios: Vec<f64>,
    /// ours / channels_last of each round.
    ratios_channels_last: Vec<f64>,
    /// Largest resident memory, MiB.
    peak_mib: [u64; 2],
    /// PyTorch's version, with the device that it names.
    version: String,
}

impl OwnCase {
    pub fn run(&self) -> anyhow::Result<()> {
        let device = match self.device.as_str() {
            "cpu" => Device::Cpu,
            _ => Device::new_cuda(0).context("--device cuda")?,
        };
        tcmax_benches::measure_on(device, self.precision == "bf16")?;
        if let Some(size) = self.case.strip_prefix("losses-") {
            return losses::own(size, self.threads, self.count);
        }
        let case = Case::named(&self.case).with_context(|| format!("no case '{}'", self.case))?;
        rayon::ThreadPoolBuilder::new().num_threads(self.threads).build_global()?;
        let mut times = Ok(Vec::new());
        // On a thread of the pool, as the trainer runs.
        rayon::scope(|_| times = case.time(self.count));
        let report = Report { times: times?, peak_kib: peak_kib(), version: String::new() };
        say(&serde_json::to_string(&report)?);
        Ok(())
    }
}

/// The largest resident memory of this process so far, where Linux tells.
pub(crate) fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl BenchPeers {
    pub fn run(&self) -> anyhow::Result<()> {
        let script = self.script()?;
        let is_cpu = self.device == "cpu";
        let of_device = if is_cpu { CASES } else { DEVICE_CASES };
        let cases: Vec<&Case> = of_device
            .iter()
            .filter(|case| self.only.as_ref().is_none_or(|only| case.name.starts_with(only)))
            .collect();
        let mut lines = Vec::new();
        for &case in &cases {
            // A device has threads of its own.
            let threads = if is_cpu { &self.threads[..] } else { &[1] };
            for &threads in threads {
                let line = self.compare(case, threads, &script)?;
                say(&line.text());
                lines.push(line);
            }
        }
        let losses = match self.only.as_deref() {
            None | Some("losses") if is_cpu => self.compare_losses(&script)?,
            _ => Vec::new(),
        };
        let load = bench_load::CASES
            .iter()
            .filter(|case| self.only.as_ref().is_none_or(|only| case.name.starts_with(only)));
        let load: Vec<_> = load.filter(|_| is_cpu).collect();
        if !load.is_empty() {
            let table = bench_load::compare(&load, &self.python, self.rounds)?;
            say(&table);
            if lines.is_empty() && losses.is_empty() {
                return Ok(());
            }
        }
        if lines.is_empty() && losses.is_empty() {
            bail!("--only: no case begins so; there are losses, {}", names().join(", "));
        }
        if let Some(folder) = self.out.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let all = serde_json::json!({ "operations": lines, "losses": losses });
        std::fs::write(&self.out, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        say("");
        if !lines.is_empty() {
            say(&table(&lines));
        }
        if !losses.is_empty() {
            say(&losses::table(&losses));
        }
        // Fits of estimators run on one thread.
        if is_cpu && cases.iter().any(|case| !case.is_fit()) {
            say(&self.tasks()?);
        }
        Ok(())
    }

    /// How far the same cases are cut into tasks, by a process of one thread.
    fn tasks(&self) -> anyhow::Result<String> {
        let mut command = pinned(1, &std::env::current_exe()?);
        command.arg("bench-tasks");
        if let Some(only) = &self.only {
            command.args(["--only", only]);
        }
        let output = output_of(&mut command)?;
        Ok(format!("\nWhat more threads could gain:\n\n{output}"))
    }

    /// PyTorch's side as a file.
    fn script(&self) -> anyhow::Result<PathBuf> {
        self.check_python()?;
        let script = std::env::temp_dir().join("tcmax_torch_cases.py");
        std::fs::write(&script, TORCH_CASES)
            .with_context(|| format!("cannot write {}", script.display()))?;
        Ok(script)
    }

    fn check_python(&self) -> anyhow::Result<()> {
        let probe = Command::new(&self.python)
            .args(["-c", "import torch; print(torch.__version__)"])
            .output();
        match probe {
            Ok(output) if output.status.success() => {
                let version = String::from_utf8_lossy(&output.stdout);
                say(&format!("PyTorch {}", version.trim()));
                Ok(())
            }
            _ => bail!(
                "{} has no PyTorch; make one that has, outside this repository: python3 -m venv \
                 DIR && DIR/bin/pip install torch, then --python DIR/bin/python",
                self.python.display()
            ),
        }
    }

    /// Runs both sides in turn, each in a fresh process on the same cores.
    fn compare(
        &self,
        case: &Case,
        threads: usize,
        script: &std::path::Path,
    ) -> anyhow::Result<Line> {
        let own = std::env::current_exe()?;
        let (mut ours, mut torch, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let (mut peak, mut version) = ([0, 0], String::new());
        // About as long for short operations as for whole steps.
        let count = match case {
            case if case.is_fit() => 2,
            case if case.is_step() => 8,
            case if case.is_encoder() => 3,
            _ => 20,
        };
        for _ in 0..self.rounds {
            let mut command = pinned(threads, &own);
            command.arg("own-case");
            let report = self.report(command, case, (threads, count), None)?;
            peak[0] = peak[0].max(report.peak_kib / 1024);
            ours.push(report.median());
            let layouts = [("default", &mut torch), ("channels_last", &mut last)];
            let layouts = layouts.into_iter().take(if case.has_layouts() { 2 } else { 1 });
            for (layout, medians) in layouts {
                let mut command = pinned(threads, &self.python);
                command.arg(script);
                let report = self.report(command, case, (threads, count), Some(layout))?;
                version.clone_from(&report.version);
                if layout == "default" {
                    peak[1] = peak[1].max(report.peak_kib / 1024);
                }
                medians.push(report.median());
            }
        }
        let ratios = |others: &[f64]| ours.iter().zip(others).map(|(a, b)| a / b).collect();
        Ok(Line {
            case: case.name,
            title: case.title,
            threads,
            ratios: ratios(&torch),
            ratios_channels_last: ratios(&last),
            ours: median(&ours),
            torch: median(&torch),
            channels_last: (!last.is_empty()).then(|| median(&last)),
            peak_mib: peak,
            version,
        })
    }

    /// One side of one measurement; a layout is PyTorch's.
    fn report(
        &self,
        mut command: Command,
        case: &Case,
        (threads, count): (usize, usize),
        layout: Option<&str>,
    ) -> anyhow::Result<Report> {
        command.arg(case.name).arg(threads.to_string()).arg(count.to_string()).args(layout);
        command.args([&self.device, &self.precision]);
        report_of(command)
    }
}

/// A command that stays on the first cores, where `taskset` is there to hold it.
fn pinned(threads: usize, program: &std::path::Path) -> Command {
    let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
    let mut command = if has_taskset {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &format!("0-{}", threads - 1)]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Fresh pages cost the same on both sides; neither gives memory back between steps.
    command.env("MIMALLOC_PURGE_DELAY", "-1");
    // Not as many as this process has.
    command.env("RAYON_NUM_THREADS", threads.to_string());
    command
}

/// What a process prints.
fn report_of<R: serde::de::DeserializeOwned>(mut command: Command) -> anyhow::Result<R> {
    let text = output_of(&mut command)?;
    serde_json::from_str(text.trim()).with_context(|| format!("{command:?} printed {text:?}"))
}

fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

fn range(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{low:.2} to {high:.2}")
}

impl Line {
    fn text(&self) -> String {
        format!(
            "{}, {} thread(s): {:.2} ms, PyTorch {} {:.2} ms: ratio {:.2} ({})",
            self.case,
            self.threads,
            self.ours,
            self.version,
            self.torch,
            median(&self.ratios),
            range(&self.ratios)
        )
    }
}

/// The figures as a Markdown table.
fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| case | threads | ours, ms | PyTorch, ms | ratio | range | ratio to channels_last | \
         memory, MiB: ours, PyTorch |\n|---|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        text += &format!(
            "| {} | {} | {:.2} | {:.2} | **{:.2}** | {} | {} | {}, {} |\n",
            line.title,
            line.threads,
            line.ours,
            line.torch,
            median(&line.ratios),
            range(&line.ratios),
            match line.ratios_channels_last.as_slice() {
                [] => "-".to_owned(),
                ratios => format!("{:.2}", median(ratios)),
            },
            line.peak_mib[0],
            line.peak_mib[1],
        );
    }
    text
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
