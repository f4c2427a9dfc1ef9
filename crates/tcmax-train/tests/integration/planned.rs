//! Epochs that a method plans, and epochs whose weights cannot be used.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use tcmax_data::Splits;
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_losses::methods::{REMIX, SAMPLE_VALUATION};
use tcmax_losses::{
    EpochContext, EpochPlan, Heads, Method, MethodSpec, Planned, Step, StepOutput, Tasks,
    cross_entropy,
};
use tcmax_parallel::{Alone, Group, Threads};
use tcmax_registry::Options;
use tcmax_train::results::{EpochRecord, LogRecord, RunResult, StepRecord};
use tcmax_train::{
    Choice, Existing, Keep, Observer, Registry, RunLabel, RunOptions, Silent, TrainConfig,
    TrainingOptions, train,
};

use crate::event_files;
use crate::vectors::{splits, vectors_apart};

/// Whole batches, for any number of shards.
const EXAMPLES: usize = 24;

/// A method whose epochs are written down here, and which writes down what it was given.
static SCRIPTED: MethodSpec =
    MethodSpec { name: "scripted", make: |_, _| Ok(Box::new(Scripted { plan: None })), ..SPEC };

/// A method whose first epochs cannot be used.
static LATE: MethodSpec = MethodSpec { name: "late", make: |_, _| Ok(Box::new(Late)), ..SPEC };

const SPEC: MethodSpec = MethodSpec {
    name: "",
    description: "",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it is for tests"),
    needs_stages: false,
    options: Options::NONE,
    make: |_, _| unreachable!(),
};

/// The batches of an epoch, the first of which is not planned; the last one of the third is a single example.
fn script(epoch: usize) -> Option<EpochPlan> {
    let (whole, only) = (Planned::whole, Planned::only);
    let batches = match epoch {
        1 => vec![
            vec![whole(3), whole(3), only(3, 1), only(4, 0)],
            vec![only(5, 0), only(21, 0), only(20, 0), only(5, 0)],
            vec![whole(0), whole(1), only(0, 1), whole(2)],
            vec![only(9, 1); 5],
            vec![whole(10), whole(11), whole(12), whole(13)],
        ],
        2 => vec![vec![whole(7), only(7, 1), only(8, 0), whole(8)], vec![only(6, 1)]],
        _ => return None,
    };
    Some(EpochPlan { batches })
}

/// What a step was given: (epoch, example, only, whether the features of each modality are there).
type Seen = (usize, usize, Option<usize>, [bool; 2]);

static SEEN: Mutex<Vec<Vec<Seen>>> = Mutex::new(Vec::new());

struct Scripted {
    plan: Option<EpochPlan>,
}

impl Method for Scripted {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> tcmax_losses::Result<()> {
        self.plan = script(context.clock().epoch);
        Ok(())
    }

    fn take_plan(&mut self) -> Option<EpochPlan> {
        self.plan.take()
    }

    fn step(&mut self, step: &mut Step<'_>) -> tcmax_losses::Result<StepOutput> {
        let there = |z: &Tensor| -> tcmax_losses::Result<Vec<bool>> {
            let sums = z.abs()?.sum(1)?.to_vec1::<f32>()?;
            Ok(sums.into_iter().map(|sum| sum > 0.0).collect())
        };
        let there = [there(&step.features[0])?, there(&step.features[1])?];
        let of = |(i, &row): (usize, &usize)| {
            let only = step.only.get(i).copied().flatten();
            (step.clock.epoch, row, only, [there[0][i], there[1][i]])
        };
        let seen = step.rows.iter().enumerate().map(of).collect();
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        joint(step)
    }
}

struct Late;

impl Method for Late {
    fn step(&mut self, step: &mut Step<'_>) -> tcmax_losses::Result<StepOutput> {
        joint(step)
    }

    fn is_usable_after(&self, epoch: usize) -> bool {
        epoch >= 3
    }
}

fn joint(step: &mut Step<'_>) -> tcmax_losses::Result<StepOutput> {
    let logits = step.head.logits(step.features)?;
    let loss = step.descend(&cross_entropy(&logits, step.labels)?)?;
    Ok(StepOutput::new(loss, &logits))
}

fn config(method: &str, epochs: usize) -> TrainConfig {
    let train = TrainingOptions {
        epochs,
        batch_size: 4,
        workers: 0,
        log_steps: 1,
        ..TrainingOptions::default()
    };
    TrainConfig {
        method: Choice::named(method),
        encoder: Choice::named("mlp").with("widths", vec![6]),
        train,
        ..TrainConfig::default()
    }
}

fn data() -> Splits {
    // Close enough for some predictions to be wrong.
    splits(|rows, seed| vectors_apart(rows, seed, 0.8, 1.0, 0.5), EXAMPLES)
}

fn run_in(
    config: &TrainConfig,
    folder: Option<&Path>,
    (existing, observer): (Existing, &dyn Observer),
    group: Option<&Arc<dyn Group>>,
) -> tcmax_train::Result<RunResult> {
    let mut registry = Registry::default();
    registry.methods.add(&SCRIPTED)?;
    registry.methods.add(&LATE)?;
    let label = RunLabel::new(&config.method.name, 1);
    let device = &Device::Cpu;
    let options = RunOptions {
        devices: device.into(),
        folder,
        existing,
        stop: None,
        observer,
        label: &label,
        group,
    };
    train(&config.clone().check_with(&registry)?, &data(), 1, options)
}

fn run(
    config: &TrainConfig,
    folder: &Path,
    existing: Existing,
    observer: &dyn Observer,
) -> tcmax_train::Result<RunResult> {
    run_in(config, Some(folder), (existing, observer), None)
}

/// The bytes that a run left, but for its times.
fn bytes(folder: &Path) -> [Vec<u8>; 3] {
    ["model.safetensors", "last.safetensors", "log.jsonl"]
        .map(|name| std::fs::read(folder.join(name)).unwrap())
}

fn records(folder: &Path) -> (Vec<StepRecord>, Vec<EpochRecord>) {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str(line).unwrap() {
            LogRecord::Step(record) => steps.push(record),
            LogRecord::Epoch(record) => epochs.push(record),
        }
    }
    (steps, epochs)
}

/// Batches of an epoch as it is trained on, where those of fewer than `least` examples are joined to others.
fn trained_on(epoch: usize, least: usize) -> Vec<Vec<Planned>> {
    script(epoch).unwrap().joining_fewer_than(least).batches
}

/// What the steps of the planned epochs have to be given.
fn expected(least: usize) -> Vec<Vec<Seen>> {
    let of = |epoch: usize| {
        trained_on(epoch, least).into_iter().map(move |batch| {
            let seen = |Planned { row, only }: Planned| {
                let there = [0, 1].map(|m| only.is_none_or(|only| only == m));
                (epoch, row, only, there)
            };
            batch.into_iter().map(seen).collect()
        })
    };
    (1..3).flat_map(of).collect()
}

#[test]
fn what_is_planned_is_what_is_trained_on() {
    let config = config("scripted", 4);
    let folder = tempfile::tempdir().unwrap();
    let one = folder.path().join("one");
    let taken = || std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    run(&config, &one, Existing::Refuse, &Silent).unwrap();
    let (planned, usual): (Vec<_>, Vec<_>) =
        taken().into_iter().partition(|batch| (1..3).contains(&batch[0].0));
    assert_eq!(planned, expected(2));
    // The others have every example once, with all modalities.
    for epoch in [0, 3] {
        let of_epoch = usual.iter().flatten().filter(|seen| seen.0 == epoch);
        let mut rows: Vec<usize> = of_epoch.map(|seen| seen.1).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..EXAMPLES).collect::<Vec<_>>());
    }
    assert!(usual.iter().flatten().all(|seen| seen.2.is_none() && seen.3 == [true; 2]));
    // Step numbers go on, whatever the number of batches.
    let (steps, epochs) = records(&one);
    assert_eq!(
        epochs.iter().map(|record| record.planned_batches).collect::<Vec<_>>(),
        [None, Some(5), Some(1), None]
    );
    let of_epoch = |epoch| steps.iter().filter(|step| step.epoch == epoch).count();
    assert_eq!([1, 2, 3, 4].map(of_epoch), [6, 5, 1, 6]);
    assert!(steps.iter().zip(1..).all(|(record, step)| record.step == step));
    assert!(steps.iter().all(|record| record.batch <= of_epoch(record.epoch)));

    // Two shards, which need two examples each: a member of a method that sees all sees what one process does.
    let mut sharded = config.clone();
    sharded.train.shards = Some(2);
    let two = folder.path().join("two");
    run(&sharded, &two, Existing::Refuse, &Silent).unwrap();
    let seen: Vec<_> = taken().into_iter().filter(|b| (1..3).contains(&b[0].0)).collect();
    for batch in expected(4) {
        assert_eq!(seen.iter().filter(|seen| **seen == batch).count(), 2, "{batch:?}");
    }
    let shared = records(&two).1;
    for (one, two) in epochs.iter().zip(&shared) {
        // Batches of single examples are joined in both, and all others are of four.
        assert!((one.train_loss - two.train_loss).abs() < 1e-4, "{one:?}, {two:?}");
    }
    // The same by two processes.
    let processes = folder.path().join("processes");
    run_by_two(&config, &processes);
    assert_eq!(bytes(&two), bytes(&processes));
}

fn run_by_two(config: &TrainConfig, folder: &Path) {
    let alone: Arc<dyn Group> = Arc::new(Alone);
    let results = tcmax_parallel::run(Threads::members(2, &alone).unwrap(), |member| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| run_in(config, Some(folder), (Existing::Refuse, &Silent), Some(&member)))
    });
    results.into_iter().for_each(|result| drop(result.unwrap()));
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

/// Kills a run after some steps, one after the other.
fn kill(config: &TrainConfig, folder: &Path, steps: &[usize]) {
    for &step in steps {
        let killed = || {
            run(config, folder, Existing::Resume, &KilledAt(step)).map(drop).unwrap();
        };
        assert!(std::panic::catch_unwind(killed).is_err(), "not killed at {step}");
    }
}

#[test]
fn planned_runs_that_are_killed_have_the_bytes_of_those_that_are_not() {
    for method in [SAMPLE_VALUATION.name, "modality-valuation", REMIX.name, "reconboost"] {
        let mut config = config(method, 4);
        match method {
            "reconboost" => {
                config.set("method.reconboost.boosting-epochs", 1.into()).unwrap();
                config.set("method.reconboost.rectifying-epochs", 1.into()).unwrap();
            }
            _ => config.set(&format!("method.{method}.warm-up"), 1.into()).unwrap(),
        }
        config.train.tensorboard = true;
        let folder = tempfile::tempdir().unwrap();
        let [whole, broken, shards, processes] =
            ["whole", "broken", "shards", "processes"].map(|name| folder.path().join(name));
        run(&config, &whole, Existing::Refuse, &Silent).unwrap();
        kill(&config, &broken, &[3, 9, 14]);
        run(&config, &broken, Existing::Resume, &Silent).unwrap();
        assert_eq!(bytes(&whole), bytes(&broken), "{method}");
        let (steps, epochs) = records(&whole);
        assert!(steps.iter().zip(1..).all(|(record, step)| record.step == step), "{method}");
        let planned: Vec<_> = epochs.iter().map(|record| record.planned_batches).collect();
        if method == "reconboost" {
            assert_eq!(planned, [None; 4]);
        } else {
            assert!(planned[0].is_none() && planned[1..].iter().all(Option::is_some), "{method}");
        }
        if method == SAMPLE_VALUATION.name {
            assert!(planned[1].unwrap() > 6, "copies make epochs longer: {planned:?}");
        }
        // Curves of interrupted runs have every step once, and epochs at their last one.
        let curves = event_files::curves(&broken);
        let at = |name: &str| curves[name].iter().map(|point| point.0).collect::<Vec<u64>>();
        assert_eq!(at("step/loss"), (1..=steps.len() as u64).collect::<Vec<_>>(), "{method}");
        let last_of = |epoch: usize| {
            steps.iter().filter(|step| step.epoch == epoch).map(|step| step.step as u64).max()
        };
        let lasts: Vec<u64> = (1..=4).filter_map(last_of).collect();
        assert_eq!(at("validation/accuracy"), lasts, "{method}");
        assert_eq!(at("test/accuracy"), lasts[3..], "{method}");
        // Two shards learn the same in one process and in two.
        config.train.tensorboard = false;
        run_by_two(&config, &processes);
        config.train.shards = Some(2);
        run(&config, &shards, Existing::Refuse, &Silent).unwrap();
        assert_eq!(bytes(&shards), bytes(&processes), "{method}");
        let first = |folder: &Path| records(folder).1[0].train_loss;
        assert!((first(&whole) - first(&shards)).abs() < 1e-3, "{method}");
    }
}

#[test]
fn an_epoch_that_cannot_be_used_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (keep, patience) in [(Keep::Best, Some(1)), (Keep::Last, None)] {
        let [whole, broken] =
            ["whole", "broken"].map(|name| folder.path().join(format!("{name} {keep:?}")));
        let mut config = config("late", 6);
        (config.train.keep, config.train.patience) = (keep, patience);
        let result = run(&config, &whole, Existing::Refuse, &Silent).unwrap();
        assert!(result.best_epoch >= 4, "{}", result.best_epoch);
        assert!(result.history.len() >= 4, "patience began too early");
        let usable: Vec<bool> = result.history.iter().map(|record| record.usable).collect();
        assert_eq!(usable[..4], [false, false, false, true]);
        // Killed while there is nothing to keep, and later.
        kill(&config, &broken, &[8, 15, 20]);
        assert!(!broken.join("model.safetensors").exists());
        run(&config, &broken, Existing::Resume, &Silent).unwrap();
        assert_eq!(bytes(&whole), bytes(&broken));
    }
}

#[test]
fn a_run_without_weights_to_keep_says_so_and_can_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short");
    let error = run(&config("late", 3), &short, Existing::Refuse, &Silent).unwrap_err();
    let text = error.to_string();
    assert!(error.is_setting() && text.starts_with("train.epochs: after 3 epochs"), "{text}");
    assert!(text.contains("'late'") && text.contains("more epochs"), "{text}");
    assert!(!short.join("result.json").exists() && !short.join("model.safetensors").exists());
    let result = run(&config("late", 5), &short, Existing::Resume, &Silent).unwrap();
    assert!(result.best_epoch >= 4 && result.history.len() == 5);
}

#[test]
fn a_plan_without_examples_or_of_others_is_refused() {
    static EMPTY: MethodSpec = MethodSpec {
        name: "empty",
        make: |_, _| Ok(Box::new(Fixed(EpochPlan::default()))),
        ..SPEC
    };
    static BEYOND: MethodSpec = MethodSpec {
        name: "beyond",
        make: |_, _| {
            Ok(Box::new(Fixed(EpochPlan { batches: vec![vec![Planned::whole(EXAMPLES); 2]] })))
        },
        ..SPEC
    };
    struct Fixed(EpochPlan);
    impl Method for Fixed {
        fn take_plan(&mut self) -> Option<EpochPlan> {
            Some(self.0.clone())
        }
        fn step(&mut self, step: &mut Step<'_>) -> tcmax_losses::Result<StepOutput> {
            joint(step)
        }
    }
    for (method, words) in [(&EMPTY, "without examples"), (&BEYOND, "beyond the 24")] {
        let mut registry = Registry::default();
        registry.methods.add(method).unwrap();
        let label = RunLabel::new(method.name, 1);
        let options = RunOptions {
            devices: (&Device::Cpu).into(),
            folder: None,
            existing: Existing::Refuse,
            stop: None,
            observer: &Silent,
            label: &label,
            group: None,
        };
        let config = config(method.name, 1).check_with(&registry).unwrap();
        let error = train(&config, &data(), 1, options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
