//! `cargo xtask check-logs`: the event files of an interrupted run, read by TensorBoard's own reader.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use candle_core::Device;
use clap::Args;
use tcmax_train::results::{EpochRecord, LogRecord, RunResult, StepRecord};
use tcmax_train::{
    Error, Existing, Observer, RunLabel, RunOptions, Stop, TrainConfig, open_data_quietly, train,
};

/// The other side, run by the given Python.
const READER: &str = include_str!("../../benches/peers/tensorboard_check.py");

/// A run of four epochs of five batches, every step of which is logged.
const SETTINGS: &str = "
    [data]
    name = 'synthetic'
    train-size = 40
    val-size = 20
    test-size = 20
    [encoder]
    width = 1
    [train]
    epochs = 4
    batch-size = 8
    clip-norm = 1.0
    log-steps = 1
    tensorboard = true
";
const BATCHES: usize = 5;

#[derive(Args)]
pub struct CheckLogs {
    /// A Python that has TensorBoard: python3 -m venv DIR && DIR/bin/pip install tensorboard
    #[arg(long, env = "TCMAX_TENSORBOARD_PYTHON", value_name = "FILE", default_value = "python3")]
    python: PathBuf,
}

/// Steps and values by the name of the curve.
type Curves = BTreeMap<String, Vec<(usize, f32)>>;

impl CheckLogs {
    /// Trains with interruptions, and compares what TensorBoard reads with the run's log.
    pub fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for step in [3, 7, 13] {
            interrupt(folder.path(), step)?;
        }
        go_on(folder.path(), usize::MAX)?;
        let expected = expected(&std::fs::read_to_string(folder.path().join("log.jsonl"))?)?;
        let got = self.read(folder.path())?;
        for (name, curve) in &expected {
            let got = got.get(name).with_context(|| format!("TensorBoard has no {name}"))?;
            ensure!(got == curve, "{name}: TensorBoard has {got:?}, the log {curve:?}");
        }
        let points: usize = got.values().map(Vec::len).sum();
        let compared: usize = expected.values().map(Vec::len).sum();
        writeln!(
            std::io::stdout(),
            "TensorBoard reads {} curves of {points} points after three interruptions; the {} compared with the \
             log ({compared} points) are the same",
            got.len(),
            expected.len()
        )?;
        Ok(())
    }

    /// What TensorBoard reads of a folder.
    fn read(&self, folder: &Path) -> anyhow::Result<Curves> {
        let mut command = Command::new(&self.python);
        let output = command.args(["-c", READER]).arg(folder).output();
        let output = output.with_context(|| self.python.display().to_string())?;
        if !output.status.success() {
            bail!("{}: {}", self.python.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The curves that follow from a log.
fn expected(log: &str) -> anyhow::Result<Curves> {
    let mut curves = Curves::new();
    let mut add = |name: &str, step: usize, value: Option<f64>| {
        let point = value.map(|value| (step, value as f32));
        curves.entry(name.to_owned()).or_default().extend(point);
    };
    for line in log.lines() {
        match serde_json::from_str(line)? {
            LogRecord::Step(record) => {
                add("step/loss", record.step, Some(record.loss));
                add("step/learning_rate", record.step, Some(record.learning_rate));
                add("step/gradient_norm", record.step, record.gradient_norm);
                add("step/total_correlation", record.step, record.total_correlation);
            }
            LogRecord::Epoch(record) => {
                let step = record.epoch * BATCHES;
                let validation = record.validation.as_ref();
                add("train/epoch", step, Some(record.epoch as f64));
                add("train/loss", step, Some(record.train_loss));
                add("train/accuracy", step, Some(record.train_accuracy));
                add("validation/accuracy", step, validation.map(|v| v.accuracy));
                let of_audio = validation.and_then(|v| v.modality_accuracy[0]);
                add("validation/accuracy_of/audio", step, of_audio);
            }
        }
    }
    let lengths = [("step/loss", 4 * BATCHES), ("train/loss", 4)];
    for (name, length) in lengths {
        ensure!(
            curves[name].len() == length,
            "the log has {} points of {name}",
            curves[name].len()
        );
    }
    Ok(curves)
}

/// Ends a run after a step, and tears the last record of its event file, as a kill may.
fn interrupt(folder: &Path, step: usize) -> anyhow::Result<()> {
    match go_on(folder, step) {
        Err(error) if matches!(error.downcast_ref(), Some(Error::Interrupted { .. })) => {}
        Err(error) => return Err(error),
        Ok(_) => bail!("the run ended before step {step}"),
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().contains("tfevents"));
    files.sort();
    let last = files.pop().context("there is no event file")?;
    let bytes = std::fs::read(&last)?;
    Ok(std::fs::write(last, &bytes[..bytes.len() - 3])?)
}

/// Begins the run or goes on with it, until a step.
fn go_on(folder: &Path, until: usize) -> anyhow::Result<RunResult> {
    let config = TrainConfig::from_toml(SETTINGS)?.check()?;
    let splits = open_data_quietly(&config)?.splits(0)?;
    let until = Until { step: until, stop: Stop::new() };
    let label = RunLabel::new(&config.config().method.name, 0);
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder: Some(folder),
        existing: Existing::Resume,
        stop: Some(&until.stop),
        observer: &until,
        label: &label,
        group: None,
    };
    Ok(train(&config, &splits, 0, options)?)
}

/// Asks for the end after a step.
struct Until {
    step: usize,
    stop: Stop,
}

impl Observer for Until {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}

    fn step(&self, _: &RunLabel, record: &StepRecord) {
        if record.step == self.step {
            self.stop.ask(15);
        }
    }

    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}

    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}
