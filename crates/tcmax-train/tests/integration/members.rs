//! Several processes and shards that train one model. Threads stand for the processes: what they exchange goes the same
//! way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use tcmax_data::{Dataset, Modality, ModalityKind, Splits};
use tcmax_datasets::{SyntheticConfig, SyntheticModality, synthetic};
use tcmax_losses::methods::{G_BLEND, JOINT, METHODS, OGM_GE, TCMAX};
use tcmax_ops::Seed;
use tcmax_parallel::{Alone, Group, Threads, run};
use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{
    BatchNorm, Choice, Error, Existing, Observer, RunLabel, RunOptions, Silent, Stop, TrainConfig,
    TrainingOptions, train,
};

use crate::vectors;
use crate::vectors::vectors;

type Trained = Result<RunResult, Error>;

/// What a process does, besides what all do.
struct Process<'a> {
    config: TrainConfig,
    splits: Splits,
    observer: &'a dyn Observer,
    stop: Option<Stop>,
}

impl Process<'_> {
    fn of(config: &TrainConfig, splits: &Splits) -> Self {
        Self { config: config.clone(), splits: splits.clone(), observer: &Silent, stop: None }
    }
}

/// Trains by so many processes, each of which `process` describes; the results in the order of ranks.
fn train_by<'a>(
    processes: usize,
    folder: Option<&Path>,
    existing: Existing,
    process: impl Fn(usize) -> Process<'a> + Sync,
) -> Vec<Trained> {
    let alone: Arc<dyn Group> = Arc::new(Alone);
    run(Threads::members(processes, &alone).unwrap(), |member| {
        let Process { config, splits, observer, stop } = process(member.rank());
        let label = RunLabel::new(&config.method.name, 1);
        // A pool of its own, as a process has.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            let options = RunOptions {
                devices: (&Device::Cpu).into(),
                folder,
                existing,
                stop: stop.as_ref(),
                observer,
                label: &label,
                group: Some(&member),
            };
            train(&config.check()?, &splits, 1, options)
        })
    })
}

fn train_alike(
    processes: usize,
    folder: Option<&Path>,
    config: &TrainConfig,
    splits: &Splits,
) -> RunResult {
    let process = |_: usize| Process::of(config, splits);
    let results = train_by(processes, folder, Existing::Refuse, process);
    let mut results: Vec<RunResult> = results.into_iter().map(Result::unwrap).collect();
    let history = |result: &RunResult| {
        let timeless: Vec<_> = result.history.iter().map(EpochRecord::timeless).collect();
        serde_json::to_string(&timeless).unwrap()
    };
    // All have the result.
    for result in &results {
        assert_eq!(history(result), history(&results[0]));
        assert_eq!(result.test, results[0].test);
    }
    results.swap_remove(0)
}

/// Vectors, of which each example may lack one.
fn data(
    examples: usize,
    missing: impl Fn(usize, usize) -> bool + Send + Sync + Copy + 'static,
) -> Splits {
    vectors::splits(
        |rows, seed| {
            let mut data = vectors(rows, seed, 1.0, 0.5);
            data.missing = Box::new(missing);
            data
        },
        examples,
    )
}

fn complete(examples: usize) -> Splits {
    data(examples, |_, _| false)
}

fn config(shards: Option<usize>) -> TrainConfig {
    TrainConfig {
        method: Choice::named(TCMAX.name),
        encoder: Choice::named("mlp").with("widths", vec![6]),
        train: TrainingOptions {
            epochs: 2,
            batch_size: 32,
            workers: 0,
            shards,
            ..TrainingOptions::default()
        },
        ..TrainConfig::default()
    }
}

/// The bytes that a run left, but for its times.
fn bytes(folder: &Path) -> [Vec<u8>; 3] {
    ["model.safetensors", "last.safetensors", "log.jsonl"]
        .map(|name| std::fs::read(folder.join(name)).unwrap())
}

#[test]
fn one_two_and_four_processes_leave_the_same_bytes_after_fifty_steps() {
    let splits = complete(200);
    let mut config = config(Some(4));
    config.train.batch_size = 64;
    config.train.epochs = 13;
    config.train.log_steps = 1;
    let folder = tempfile::tempdir().unwrap();
    let of = |processes: usize| {
        let folder = folder.path().join(processes.to_string());
        let result = train_alike(processes, Some(&folder), &config, &splits);
        assert_eq!(result.history.len(), 13);
        bytes(&folder)
    };
    let wanted = of(1);
    assert_eq!(String::from_utf8_lossy(&wanted[2]).matches("\"kind\":\"step\"").count(), 52);
    for processes in [2, 4] {
        assert_eq!(of(processes), wanted, "{processes}");
    }
}

/// Pictures in two modalities, quick to learn.
fn pictures() -> SyntheticConfig {
    let modality = |name: &str, noise| SyntheticModality {
        name: name.to_owned(),
        kind: ModalityKind::Image,
        informativeness: 0.9,
        noise,
    };
    SyntheticConfig {
        classes: 3,
        nuisance_states: 2,
        modalities: vec![modality("left", 0.1), modality("right", 0.2)],
        // Four examples in the last batch: enough for two shards.
        train_size: 28,
        val_size: 12,
        test_size: 14,
        ..SyntheticConfig::default()
    }
}

#[test]
fn every_method_learns_with_shards_what_it_learns_without() {
    let splits = synthetic::splits(&pictures(), 1).unwrap();
    for method in METHODS {
        let mut config = TrainConfig {
            data: Choice::of("synthetic", &pictures()).unwrap(),
            method: Choice::named(method.name),
            encoder: Choice::named("resnet-slim").with("width", 2),
            ..config(None)
        };
        config.train.batch_size = 8;
        config.train.log_steps = 1;
        if *method == G_BLEND {
            config.set("method.g-blend.every", 1.into()).unwrap();
        }
        if *method == OGM_GE {
            // Noise makes much of the last digits.
            config.train.epochs = 1;
        }
        let alone = train_alike(1, None, &config, &splits);
        let shared = train_alike(2, None, &config, &splits);
        for (alone, shared) in alone.history.iter().zip(&shared.history) {
            let (one, other) = (alone.train_loss, shared.train_loss);
            assert!((one - other).abs() < 2e-3 * one.abs().max(1.0), "{method}: {one}, {other}");
            assert_eq!(
                alone.train_total_correlation.is_some(),
                shared.train_total_correlation.is_some()
            );
        }
        // Three processes of three shards cut the last batch otherwise, and still go through.
        if *method == TCMAX {
            train_alike(3, None, &config, &splits);
        }
    }
}

#[test]
fn heads_that_are_not_additive_share_out_tuples_and_weighted_labels_are_weighed() {
    let splits = complete(60);
    for head in ["gated", "concat"] {
        for method in [TCMAX.name, JOINT.name] {
            let mut config = config(None).by_method(method).with_head(head);
            config.train.label_smoothing = 0.1;
            config.set("train.class-weights", vec![1.0, 3.0].into()).unwrap();
            let alone = train_alike(1, None, &config, &splits);
            let shared = train_alike(2, None, &config, &splits);
            let losses = |result: &RunResult| {
                result.history.iter().map(|record| record.train_loss).collect::<Vec<_>>()
            };
            for (one, other) in losses(&alone).into_iter().zip(losses(&shared)) {
                assert!((one - other).abs() < 1e-4, "{method}, {head}: {one}, {other}");
            }
            let accuracy = |result: &RunResult| result.history[0].train_accuracy;
            assert_eq!(accuracy(&alone), accuracy(&shared), "{method}, {head}");
        }
    }
}

#[test]
fn members_whose_share_lacks_a_modality_take_part() {
    // The right one is there in two of nine examples, so that many shares of four have none.
    let splits = data(56, |row, m| m == 1 && row % 9 > 1);
    let mut config = config(None);
    config.train.batch_size = 16;
    let alone = train_alike(1, None, &config, &splits);
    config.train.shards = Some(4);
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["1", "2"].map(|name| folder.path().join(name));
    let shared = train_alike(1, Some(&first), &config, &splits);
    train_alike(2, Some(&second), &config, &splits);
    assert_eq!(bytes(&first), bytes(&second));
    for (one, other) in alone.history.iter().zip(&shared.history) {
        let (one, other) = (one.train_loss, other.train_loss);
        assert!((one - other).abs() < 1e-3, "{one}, {other}");
    }
}

#[test]
fn local_batch_norm_is_another_training_and_the_same_for_all_processes() {
    let splits = complete(60);
    let mut config = config(Some(2));
    config.train.batch_norm = BatchNorm::Local;
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["1", "2"].map(|name| folder.path().join(name));
    let local = train_alike(1, Some(&first), &config, &splits);
    train_alike(2, Some(&second), &config, &splits);
    assert_eq!(bytes(&first), bytes(&second));
    config.train.batch_norm = BatchNorm::Synchronised;
    let synchronised = train_alike(1, None, &config, &splits);
    assert_ne!(local.history[1].train_loss, synchronised.history[1].train_loss);
}

#[test]
fn features_of_frozen_encoders_are_computed_in_turn() {
    let splits = complete(230);
    let mut config = config(None);
    config.train.cache_features = false;
    config.set("encoder.frozen-epochs", 2.into()).unwrap();
    let alone = train_alike(1, None, &config, &splits);
    let shared = train_alike(3, None, &config, &splits);
    for (one, other) in alone.history.iter().zip(&shared.history) {
        assert!((one.train_loss - other.train_loss).abs() < 1e-4);
    }
}

/// Asks a stop after so many steps.
struct Stopper {
    stop: Stop,
    after: usize,
    steps: AtomicUsize,
}

impl Observer for Stopper {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, _: &StepRecord) {
        if self.steps.fetch_add(1, Ordering::Relaxed) + 1 == self.after {
            self.stop.ask(15);
        }
    }
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

#[test]
fn an_interrupted_run_goes_on_with_another_number_of_processes() {
    let splits = complete(70);
    let config = config(Some(4));
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    train_alike(1, Some(&whole), &config, &splits);
    // The third process is asked to end, during the second epoch; all end after the same batch.
    let stop = Stop::new();
    let stopper = Stopper { stop: stop.clone(), after: 3, steps: AtomicUsize::new(0) };
    let results = train_by(4, Some(&broken), Existing::Refuse, |rank| Process {
        observer: &stopper,
        stop: (rank == 2).then(|| stop.clone()),
        ..Process::of(&config, &splits)
    });
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Interrupted { signal: 15, epochs: 1, .. }), "{error}");
    }
    assert!(!broken.join("result.json").exists());
    // Without a word on shards: the run has four.
    let mut again = config.clone();
    again.train.shards = None;
    let process = |_: usize| Process::of(&again, &splits);
    let error = train_by(3, Some(&broken), Existing::Resume, process).swap_remove(0).unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("there are 4"), "{error}");
    for result in train_by(2, Some(&broken), Existing::Resume, process) {
        result.unwrap();
    }
    assert_eq!(bytes(&broken), bytes(&whole));
}

#[test]
fn a_run_of_one_does_not_go_on_as_two() {
    let splits = complete(40);
    let folder = tempfile::tempdir().unwrap();
    let process = |_: usize| Process::of(&config(None), &splits);
    let mut first = train_by(1, Some(folder.path()), Existing::Refuse, process);
    first.swap_remove(0).unwrap();
    let error = train_by(2, Some(folder.path()), Existing::Resume, process).swap_remove(0);
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("train.shards: there are 2 processes"), "{error}");
}

#[test]
fn a_process_with_other_data_or_settings_is_refused_by_all() {
    let (splits, other) = (complete(40), complete(41));
    let usual = config(None);
    let mut faster = usual.clone();
    faster.set("optimiser.learning-rate", 0.5.into()).unwrap();
    let with_data = |rank: usize| Process::of(&usual, if rank == 1 { &other } else { &splits });
    let with_settings =
        |rank: usize| Process::of(if rank == 1 { &faster } else { &usual }, &splits);
    for (results, what) in [
        (train_by(3, None, Existing::Refuse, with_data), "has other data: "),
        (train_by(3, None, Existing::Refuse, with_settings), "has other settings: "),
    ] {
        for result in results {
            let error = result.unwrap_err();
            assert!(!error.concerns_one_run());
            let text = error.to_string();
            assert!(text.starts_with("rank 1 (on ") && text.contains(what), "{text}");
            assert!(text.contains(" instead of "), "{text}");
        }
    }
}

/// A data set that cannot be read any more after the identities were.
struct Torn(Arc<dyn Dataset>);

impl Dataset for Torn {
    fn modalities(&self) -> &[Modality] {
        self.0.modalities()
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn label(&self, index: usize) -> u32 {
        self.0.label(index)
    }
    fn identity(&self, index: usize) -> tcmax_data::Result<u64> {
        self.0.identity(index)
    }
    fn read(&self, row: usize, m: usize, seed: Seed, out: &mut [f32]) -> tcmax_data::Result<()> {
        self.0.read(row, m, seed, out)?;
        if row == 7 {
            out.fill(f32::NAN);
        }
        Ok(())
    }
}

#[test]
fn what_a_member_fails_of_is_what_is_reported() {
    let mut splits = complete(40);
    splits.train = Arc::new(Torn(splits.train));
    // In one process with three members: the error is that of the member that read the row.
    let mut config = config(Some(3));
    config.train.standardise = false;
    let process = |_: usize| Process::of(&config, &splits);
    let error = train_by(1, None, Existing::Refuse, process).swap_remove(0).unwrap_err();
    assert!(matches!(error, Error::Data(tcmax_data::Error::NotFinite { row: 7, .. })), "{error}");
    // Of several processes one reports it, and the others name that one.
    config.train.shards = None;
    let process = |_: usize| Process::of(&config, &splits);
    let errors = train_by(2, None, Existing::Refuse, process);
    let texts: Vec<String> =
        errors.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|text| text.contains("row 7")), "{texts:?}");
    let named = texts.iter().filter(|text| text.starts_with("member ")).count();
    assert_eq!(named, 1, "{texts:?}");
}

#[test]
fn shards_fit_processes_and_batches() {
    let splits = complete(40);
    let error = |shards: Option<usize>, batch: usize, splits: &Splits| {
        let mut config = config(shards);
        config.train.batch_size = batch;
        let process = |_: usize| Process::of(&config, splits);
        train_by(2, None, Existing::Refuse, process).swap_remove(0).unwrap_err()
    };
    for (error, words) in [
        (error(Some(3), 32, &splits), "train.shards: there are 2 processes"),
        (error(None, 3, &splits), "train.batch-size: must be at least 2 for each of the shards"),
        (error(Some(8), 32, &complete(12)), "train.shards: there are 12 training examples"),
    ] {
        assert!(error.is_setting(), "{error}");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
