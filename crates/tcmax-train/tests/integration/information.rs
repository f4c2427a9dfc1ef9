//! Measuring the information in the features changes nothing of a run, survives an interruption, and is the same for any
//! number of processes.

use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::Device;
use tcmax_data::{Dataset, Modality, Splits, Task};
use tcmax_ops::Seed;
use tcmax_parallel::{Alone, Group, Threads};
use tcmax_train::results::{EpochRecord, FeatureInformation, RunResult, StepRecord};
use tcmax_train::{
    Choice, Existing, Observer, RunLabel, RunOptions, Silent, TrainConfig, TrainingOptions, train,
};

use crate::event_files::curves;
use crate::vectors::{Vectors, splits, vectors};

/// Training examples.
const EXAMPLES: usize = 40;

fn config(every: Option<usize>) -> TrainConfig {
    let train = TrainingOptions {
        epochs: 4,
        batch_size: 8,
        workers: 0,
        tensorboard: true,
        information_every: every,
        ..Default::default()
    };
    TrainConfig {
        method: Choice::named("joint"),
        encoder: Choice::named("mlp").with("widths", vec![8]),
        train,
        ..TrainConfig::default()
    }
}

fn data() -> Splits {
    splits(|rows, seed| vectors(rows, seed, 1.0, 0.0), EXAMPLES)
}

fn run_on(
    config: TrainConfig,
    data: &Splits,
    (folder, existing): (Option<&Path>, Existing),
    observer: &dyn Observer,
) -> RunResult {
    let label = RunLabel::new(&config.method.name, 1);
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder,
        existing,
        stop: None,
        observer,
        label: &label,
        group: None,
    };
    train(&config.check().unwrap(), data, 1, options).unwrap()
}

fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap()
}

fn measured(result: &RunResult) -> Vec<usize> {
    let has = |record: &&EpochRecord| record.information.is_some();
    result.history.iter().filter(has).map(|record| record.epoch).collect()
}

#[test]
fn a_run_has_the_same_weights_with_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let [with, without] = ["with", "without"].map(|name| folder.path().join(name));
    let measured_run = run_on(config(Some(1)), &data(), (Some(&with), Existing::Refuse), &Silent);
    let plain = run_on(config(Some(0)), &data(), (Some(&without), Existing::Refuse), &Silent);
    assert_eq!(bytes(&with, "model.safetensors"), bytes(&without, "model.safetensors"));
    assert_eq!(measured(&measured_run), [1, 2, 3, 4]);
    assert!(measured(&plain).is_empty() && plain.information.is_none());
    let stripped = |result: &RunResult| {
        let strip = |record: &EpochRecord| EpochRecord { information: None, ..record.timeless() };
        result.history.iter().map(strip).collect::<Vec<_>>()
    };
    assert_eq!(stripped(&measured_run), stripped(&plain));
    assert_eq!(measured_run.test, plain.test);
    // By default the first measurement is after epoch 3, and the kept weights are measured in any case.
    let usual = run_on(config(None), &data(), (None, Existing::Refuse), &Silent);
    assert_eq!(measured(&usual), [3]);
    assert_eq!(usual.information, measured_run.information);
    check(usual.information.as_ref().unwrap(), 400);
    check(measured_run.history[0].information.as_ref().unwrap(), 100);
    // What files of before did not have is absent.
    let mut old = serde_json::to_value(&plain.history[0]).unwrap();
    assert!(old.as_object_mut().unwrap().remove("information").is_none());
    let curves = curves(&with);
    for name in [
        "information/label_of/left",
        "information_train/label_of_all",
        "information/shared_by/left-right",
    ] {
        assert_eq!(curves[name].len(), 4, "{name}");
    }
}

/// What holds of two modalities that show one of two classes, each by itself.
fn check(found: &FeatureInformation, held_out: usize) {
    assert_eq!((found.train_examples, found.held_out_examples), (EXAMPLES, held_out));
    assert!((found.label_entropy - 2f64.ln()).abs() < 1e-12);
    let own = found.label.iter().flatten().map(|bound| bound.held_out);
    for bound in own.chain([found.joint_label.held_out, found.shared.unwrap().held_out]) {
        assert!((0.0..2f64.ln()).contains(&bound), "{found:?}");
    }
    assert!(found.joint_label.held_out > 0.3 && found.joint_label.train.is_some(), "{found:?}");
    assert!(found.pairs[0].given_label.held_out < 0.1, "{found:?}");
    let sum = found.shared.unwrap().held_out + found.joint_label.held_out;
    assert!(found.total_correlation.held_out > sum - 1e-12);
    assert!(found.head_is_additive && found.head_bound.is_some());
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

#[test]
fn what_was_measured_survives_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    let first = run_on(config(Some(2)), &data(), (Some(&whole), Existing::Refuse), &Silent);
    for step in [8, 13] {
        let killed = || {
            run_on(config(Some(2)), &data(), (Some(&broken), Existing::Resume), &KilledAt(step));
        };
        assert!(std::panic::catch_unwind(killed).is_err());
    }
    let second = run_on(config(Some(2)), &data(), (Some(&broken), Existing::Resume), &Silent);
    for file in ["log.jsonl", "last.safetensors", "model.safetensors"] {
        assert_eq!(bytes(&whole, file), bytes(&broken, file), "{file}");
    }
    assert_eq!(first.information, second.information);
    assert_eq!(measured(&second), [2, 4]);
}

#[test]
fn processes_that_train_together_measure_what_one_does() {
    let results = |processes: usize| {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let members = Threads::members(processes, &alone).unwrap();
        let of_all = tcmax_parallel::run(members, |member| {
            let mut config = config(Some(2));
            (config.train.shards, config.train.tensorboard) = (Some(2), false);
            let label = RunLabel::new("joint", 1);
            let options = RunOptions {
                devices: (&Device::Cpu).into(),
                folder: None,
                existing: Existing::Refuse,
                stop: None,
                observer: &Silent,
                label: &label,
                group: Some(&member),
            };
            // Members wait for each other: in one pool others could take the thread that one of them needs.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.install(|| train(&config.check()?, &data(), 1, options))
        });
        let of_one = |result: tcmax_train::Result<RunResult>| {
            let result = result.unwrap();
            let records = result.history.into_iter().map(|record| record.information);
            records.chain([result.information]).collect::<Vec<_>>()
        };
        of_all.into_iter().map(of_one).collect::<Vec<_>>()
    };
    let one = results(1).remove(0);
    assert_eq!(one.iter().flatten().count(), 3);
    assert!(results(2).into_iter().all(|of_member| of_member == one));
}

#[test]
fn examples_that_lack_a_modality_are_left_out() {
    let lacking = |every: usize| {
        splits(
            move |rows, seed| {
                let mut some = vectors(rows, seed, 1.0, 0.0);
                some.missing = Box::new(move |row, modality| modality == 1 && row % every == 0);
                some
            },
            EXAMPLES,
        )
    };
    let result = run_on(config(Some(4)), &lacking(5), (None, Existing::Refuse), &Silent);
    let found = result.history[3].information.as_ref().unwrap();
    assert_eq!((found.train_examples, found.held_out_examples), (32, 80));
    // Too few are complete.
    let result = run_on(config(Some(4)), &lacking(1), (None, Existing::Refuse), &Silent);
    assert!(measured(&result).is_empty() && result.information.is_none());
    // A model of one modality shares nothing.
    let mut one = config(Some(4));
    one.train.modalities = vec!["right".to_owned()];
    let result = run_on(one, &data(), (None, Existing::Refuse), &Silent);
    let found = result.information.unwrap();
    assert!(found.label[0].is_none() && found.shared.is_none() && found.pairs.is_empty());
    assert_eq!(found.label[1].unwrap(), found.joint_label);
}

/// The class of an example as a number.
struct Numbers(Vectors);

impl Dataset for Numbers {
    fn modalities(&self) -> &[Modality] {
        self.0.modalities()
    }
    fn classes(&self) -> &[String] {
        &self.0.classes()[..1]
    }
    fn task(&self) -> Task {
        Task::Regression
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn label(&self, _: usize) -> u32 {
        0
    }
    fn target(&self, index: usize, out: &mut [f32]) {
        out[0] = self.0.label(index) as f32;
    }
    fn read(
        &self,
        index: usize,
        modality: usize,
        seed: Seed,
        out: &mut [f32],
    ) -> tcmax_data::Result<()> {
        self.0.read(index, modality, seed, out)
    }
}

/// Collects notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn note(&self, _: &RunLabel, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, _: &RunLabel, _: &StepRecord) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

#[test]
fn other_tasks_than_classes_are_not_measured_and_a_note_says_so() {
    let numbers = |rows: usize, seed: u64| Arc::new(Numbers(vectors(rows, seed, 1.0, 0.0)));
    let splits = Splits { train: numbers(40, 1), validation: numbers(40, 2), test: numbers(40, 3) };
    for (every, notes) in [(Some(2), 1), (None, 0), (Some(0), 0)] {
        let observer = Notes::default();
        let mut config = config(every);
        config.train.tensorboard = false;
        let result = run_on(config, &splits, (None, Existing::Refuse), &observer);
        assert!(measured(&result).is_empty() && result.information.is_none());
        let said = observer.0.into_inner().unwrap();
        let said: Vec<_> = said.iter().filter(|text| text.contains("information-every")).collect();
        assert_eq!(said.len(), notes, "{said:?}");
    }
}

#[test]
fn too_many_measurements_are_refused() {
    let mut config = config(Some(1));
    config.train.epochs = 20_000;
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("train.information-every"), "{error}");
}
