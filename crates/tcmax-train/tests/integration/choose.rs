//! Runs that choose their settings: they are the best of the runs of single settings, whatever interrupts them.

use std::path::Path;
use std::sync::Mutex;

use candle_core::Device;
use tcmax_data::Splits;
use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{
    Choice, Existing, Observer, RunLabel, RunOptions, Silent, TrainConfig, TrainingOptions, train,
};

use crate::vectors::{splits, vectors_apart};

fn config(choose: &str) -> TrainConfig {
    let train = TrainingOptions { epochs: 3, batch_size: 8, workers: 0, ..Default::default() };
    TrainConfig {
        method: Choice::named("tcmax"),
        encoder: Choice::named("mlp").with("widths", vec![6]),
        train,
        choose: toml::from_str(choose).unwrap(),
        ..TrainConfig::default()
    }
}

fn data() -> Splits {
    splits(|rows, seed| vectors_apart(rows, seed, 0.6, 1.0, 0.0), 60)
}

fn run_on(
    splits: &Splits,
    config: TrainConfig,
    folder: Option<&Path>,
    existing: Existing,
    observer: &dyn Observer,
) -> tcmax_train::Result<RunResult> {
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
    train(&config.check()?, splits, 1, options)
}

fn run(config: TrainConfig, folder: Option<&Path>, existing: Existing) -> RunResult {
    run_on(&data(), config, folder, existing, &Silent).unwrap()
}

/// Accuracy and cross-entropy on the validation split after the kept epoch.
fn validation(result: &RunResult) -> (f64, f64) {
    let kept = result.history[result.best_epoch - 1].validation.as_ref().unwrap();
    (kept.accuracy, kept.cross_entropy.unwrap())
}

const RATES: &str = "\"optimiser.learning-rate\" = [0.0001, 0.05, 0.01]";

#[test]
fn the_run_is_the_one_of_the_best_validation() {
    let folder = tempfile::tempdir().unwrap();
    let [chosen, single] = ["chosen", "single"].map(|name| folder.path().join(name));
    let result = run(config(RATES), Some(&chosen), Existing::Refuse);
    let mut best: Option<(f64, RunResult)> = None;
    for rate in [0.0001, 0.05, 0.01] {
        let mut own = config("");
        own.set("optimiser.learning-rate", rate.into()).unwrap();
        let own = run(own, None, Existing::Refuse);
        let (accuracy, loss) = validation(&own);
        let better = best.as_ref().is_none_or(|(_, best)| {
            let (highest, lowest) = validation(best);
            accuracy > highest || (accuracy == highest && loss < lowest)
        });
        if better {
            best = Some((rate, own));
        }
    }
    let (rate, best) = best.unwrap();
    assert_ne!(rate, 0.0001, "the first would be kept by chance");
    assert_eq!(result.chosen["optimiser.learning-rate"], rate.to_string());
    assert_eq!(result.test, best.test);
    // The model is that of a run of the chosen settings alone, and says so.
    let mut own = config("");
    own.set("optimiser.learning-rate", rate.into()).unwrap();
    run(own, Some(&single), Existing::Refuse);
    let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(model(&chosen), model(&single));
}

/// Ends the run in the middle of its second candidate, as a kill would.
struct Killer(Mutex<usize>);

impl Observer for Killer {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, _: &StepRecord) {}
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {
        let mut epochs = self.0.lock().unwrap();
        *epochs += 1;
        assert!(*epochs < 5, "killed");
    }
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

#[test]
fn a_killed_choice_goes_on_to_the_same_bytes_and_refuses_another() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| folder.path().join(name));
    run(config(RATES), Some(&whole), Existing::Refuse);
    let killed = std::panic::catch_unwind(|| {
        let killer = Killer(Mutex::new(0));
        run_on(&data(), config(RATES), Some(&broken), Existing::Refuse, &killer).map(drop)
    });
    assert!(killed.is_err() && !broken.join("result.json").exists());
    run(config(RATES), Some(&broken), Existing::Resume);
    for file in ["model.safetensors", "last.safetensors", "log.jsonl"] {
        let bytes = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert_eq!(bytes(&whole), bytes(&broken), "{file}");
    }
    let other = config("\"optimiser.learning-rate\" = [0.2]");
    let again = run_on(&data(), other.clone(), Some(&broken), Existing::Resume, &Silent);
    let error = again.unwrap_err().to_string();
    assert!(error.contains("other settings") && error.contains("choose"), "{error}");
    let error = run_on(&data(), other.clone(), Some(&broken), Existing::Refuse, &Silent);
    assert!(error.unwrap_err().to_string().contains("already"));
    let replaced = run(other, Some(&broken), Existing::Replace);
    assert_eq!(replaced.chosen["optimiser.learning-rate"], "0.2");
    assert_eq!(std::fs::read_dir(broken.join("candidates")).unwrap().count(), 1);
}

#[test]
fn an_automatic_weight_is_one_of_its_list() {
    let mut own = config("");
    own.set("method.weight", "auto".into()).unwrap();
    let result = run(own, None, Existing::Refuse);
    let weight: f64 = result.chosen["method.weight"].parse().unwrap();
    assert!(tcmax_losses::methods::tcmax::AUTOMATIC_WEIGHTS.contains(&weight));
}

#[test]
fn without_a_validation_split_there_is_nothing_to_choose_by() {
    let all = data();
    let none = std::sync::Arc::new(vectors_apart(0, 1, 0.6, 1.0, 0.0));
    let splits = Splits { validation: none, ..all };
    let error = run_on(&splits, config(RATES), None, Existing::Refuse, &Silent).unwrap_err();
    assert!(error.is_setting() && error.to_string().contains("no validation split"), "{error}");
}
