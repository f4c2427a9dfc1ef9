//! What a run logs: the same bytes whatever interrupts it, curves for TensorBoard, and errors of files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::Device;
use tcmax_train::results::{EpochRecord, LogRecord, RunResult, StepRecord};
use tcmax_train::{
    Choice, Existing, Observer, RunLabel, RunOptions, Silent, TrainConfig, TrainingOptions, train,
};

use crate::event_files::{curves, event_files};
use crate::vectors::{splits, vectors};

/// Batches of an epoch.
const BATCHES: usize = 5;

fn config(log_steps: usize, tensorboard: bool) -> TrainConfig {
    let train = TrainingOptions {
        epochs: 4,
        batch_size: 8,
        workers: 0,
        clip_norm: Some(1.0),
        log_steps,
        tensorboard,
        ..Default::default()
    };
    TrainConfig {
        // A method with metrics of its own.
        method: Choice::named("ogm"),
        encoder: Choice::named("mlp").with("widths", vec![8]),
        train,
        ..TrainConfig::default()
    }
}

fn run(
    config: TrainConfig,
    folder: &Path,
    existing: Existing,
    observer: &dyn Observer,
) -> tcmax_train::Result<RunResult> {
    let splits = splits(|rows, seed| vectors(rows, seed, 1.0, 0.0), 8 * BATCHES);
    let label = RunLabel::new(&config.method.name, 1);
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder: Some(folder),
        existing,
        stop: None,
        observer,
        label: &label,
        group: None,
    };
    train(&config.check()?, &splits, 1, options)
}

/// Unwinds out of the run after a step, as a kill would end it.
struct KilledAt(usize);

impl Observer for KilledAt {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, record: &StepRecord) {
        assert!(record.step < self.0, "killed");
    }
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log.jsonl")).unwrap()
}

fn records(folder: &Path) -> Vec<LogRecord> {
    log(folder).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_log_has_a_line_of_every_few_steps_and_of_every_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let result = run(config(2, false), folder.path(), Existing::Refuse, &Silent).unwrap();
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for record in records(folder.path()) {
        match record {
            LogRecord::Step(record) => {
                assert_eq!(record.epoch, epochs.len() + 1, "before the line of its epoch");
                assert!(record.gradient_norm.is_some() && !record.metrics.is_empty());
                steps.push(record.step);
            }
            LogRecord::Epoch(record) => epochs.push(record),
        }
    }
    assert_eq!(steps, (1..=10).map(|step| 2 * step).collect::<Vec<_>>());
    assert_eq!(epochs, result.history.iter().map(EpochRecord::timeless).collect::<Vec<_>>());
    assert!(!log(folder.path()).contains("seconds") && event_files(folder.path()).is_empty());
    run(config(0, false), folder.path(), Existing::Replace, &Silent).unwrap();
    let records = records(folder.path());
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| matches!(record, LogRecord::Epoch(_))));
}

#[test]
fn an_interrupted_run_leaves_the_log_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    run(config(2, false), &whole, Existing::Refuse, &Silent).unwrap();
    // In the first epoch, in later ones, and twice in the same.
    for step in [3, 9, 9, 18] {
        let kill = KilledAt(step);
        let killed =
            || run(config(2, false), &broken, Existing::Resume, &kill).map(|_| ()).unwrap();
        assert!(std::panic::catch_unwind(killed).is_err());
        let (done, path) = (log_length(&broken), broken.join("log.jsonl"));
        assert_eq!(done, (step - 1) / BATCHES);
        // What a kill between the log and the checkpoint leaves: the lines of an epoch that is not finished,
        // the last perhaps not whole.
        let next = log(&whole);
        let next: Vec<&str> =
            next.split_inclusive('\n').filter(|line| epoch(line) == done + 1).collect();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let lines = next.concat();
        file.write_all(&lines.as_bytes()[..lines.len() - step]).unwrap();
    }
    run(config(2, false), &broken, Existing::Resume, &Silent).unwrap();
    assert_eq!(log(&whole), log(&broken));
    // A run that is finished stays as it is; one that goes on has more lines.
    run(config(2, false), &broken, Existing::Resume, &Silent).unwrap();
    assert_eq!(log(&whole), log(&broken));
    let mut more = config(2, false);
    more.train.epochs = 5;
    run(more, &broken, Existing::Resume, &Silent).unwrap();
    assert!(log(&broken).starts_with(&log(&whole)) && log_length(&broken) == 5);
}

fn epoch(line: &str) -> usize {
    serde_json::from_str::<LogRecord>(line).unwrap().epoch()
}

/// The last epoch in a log, 0 without one.
fn log_length(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap_or_default();
    text.lines().last().map_or(0, epoch)
}

#[test]
fn the_steps_before_a_loss_that_is_not_finite_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut wild = config(1, false);
    wild.train.clip_norm = None;
    wild.optimiser = Choice::named("sgd").with("learning-rate", 1e30);
    let error = run(wild, folder.path(), Existing::Refuse, &Silent).unwrap_err();
    assert!(error.to_string().contains("the loss is"), "{error}");
    let first = &records(folder.path())[0];
    assert!(matches!(first, LogRecord::Step(record) if record.step == 1 && record.loss < 10.0));
}

#[test]
fn every_number_can_be_logged_and_read_again() {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0 / 997.0];
    for number in numbers {
        let record = LogRecord::Step(StepRecord {
            epoch: 1,
            batch: 1,
            step: 1,
            learning_rate: number,
            loss: number,
            total_correlation: Some(number),
            gradient_norm: Some(number),
            metrics: BTreeMap::from([("coefficient 0".to_owned(), number)]),
        });
        let text = serde_json::to_string(&record).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let read: LogRecord = serde_json::from_str(&text).unwrap();
        // NaN equals nothing; its text does.
        assert_eq!(format!("{read:?}"), format!("{record:?}"));
    }
}

/// Puts a full disk in the place of the log once the run has begun.
#[cfg(target_os = "linux")]
struct FullDisk<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl Observer for FullDisk<'_> {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {
        std::os::unix::fs::symlink("/dev/full", self.0.join("log.jsonl")).unwrap();
    }
    fn step(&self, _: &RunLabel, _: &StepRecord) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_with_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let full = FullDisk(folder.path());
    let error = run(config(1, false), folder.path(), Existing::Refuse, &full).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("log.jsonl: ") && text.contains("os error 28"), "{text}");
    assert!(!error.is_setting() && !folder.path().join("last.safetensors").exists());
}

#[test]
fn logs_are_refused_and_replaced_with_the_run_they_are_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("log.jsonl"), "").unwrap();
    let error = run(config(1, true), path, Existing::Refuse, &Silent).unwrap_err().to_string();
    assert!(error.contains("log.jsonl is there already"), "{error}");
    run(config(1, true), path, Existing::Replace, &Silent).unwrap();
    let first = event_files(path);
    let others = path.join("events.out.tfevents.1700000000.machine.1.0");
    std::fs::write(&others, "of another program").unwrap();
    run(config(1, false), path, Existing::Replace, &Silent).unwrap();
    assert_eq!((first.len(), event_files(path)), (1, vec![others]));
}

#[test]
fn curves_are_those_of_the_log_across_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for step in [3, 13] {
        let kill = KilledAt(step);
        let killed = || run(config(1, true), path, Existing::Resume, &kill).map(|_| ()).unwrap();
        assert!(std::panic::catch_unwind(killed).is_err());
        // A kill may leave half a record.
        let last = event_files(path).pop().unwrap();
        let bytes = std::fs::read(&last).unwrap();
        std::fs::write(last, &bytes[..bytes.len() - 3]).unwrap();
    }
    let result = run(config(1, true), path, Existing::Resume, &Silent).unwrap();
    assert_eq!(event_files(path).len(), 3);
    let curves = curves(path);
    let last = (4 * BATCHES) as u64;
    assert_eq!(curves["test/accuracy"], [(last, result.test.accuracy as f32)]);
    let own = result.test.modality_accuracy[1].unwrap() as f32;
    assert_eq!(curves["test/accuracy_of/right"], [(last, own)]);
    let (mut losses, mut norms, mut accuracies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rates, mut coefficients) = (Vec::new(), Vec::new());
    for record in records(path) {
        match record {
            LogRecord::Step(record) => {
                let step = record.step as u64;
                losses.push((step, record.loss as f32));
                norms.push((step, record.gradient_norm.unwrap() as f32));
            }
            LogRecord::Epoch(record) => {
                let step = (record.epoch * BATCHES) as u64;
                let validation = record.validation.unwrap();
                accuracies.push((step, validation.modality_accuracy[1].unwrap() as f32));
                rates.push((step, record.learning_rate as f32));
                coefficients.push((step, record.metrics["coefficient 0"] as f32));
            }
        }
    }
    assert_eq!(losses.len(), 4 * BATCHES);
    assert_eq!(curves["step/loss"], losses);
    assert_eq!(curves["step/gradient_norm"], norms);
    assert_eq!(curves["validation/accuracy_of/right"], accuracies);
    assert_eq!(curves["train/learning_rate"], rates);
    assert_eq!(curves["train/coefficient_0"], coefficients);
    let names: Vec<&str> = curves.keys().map(String::as_str).collect();
    for name in ["train/accuracy", "train/epoch", "validation/cross_entropy", "step/coefficient_1"]
    {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(curves.values().all(|curve| curve.is_sorted_by_key(|point| point.0)));
}
