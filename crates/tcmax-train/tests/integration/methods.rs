//! Every method on three modalities, and interrupted runs.

use std::path::Path;

use candle_core::Device;
use tcmax_data::ModalityKind;
use tcmax_datasets::{SyntheticConfig, SyntheticModality, synthetic};
use tcmax_fusion::{BI_GATED, CONCAT, FILM, GATED, HeadSpec, Modalities};
use tcmax_losses::methods::{
    ARL, AUG, DIAGNOSE_RELEARN, G_BLEND, G2D, JOINT, LFM, METHODS, MLA, MM_COSINE,
    MODALITY_VALUATION, MSLR, PMR, RECONBOOST, REMIX, SAMPLE_VALUATION, TCMAX, UMT,
};
use tcmax_losses::{Error as Loss, MethodSpec};
use tcmax_ops::{Seed, State};
use tcmax_train::checkpoint::{Progress, load, save};
use tcmax_train::{
    Choice, Error, Existing, Keep, Model, Observer, RunLabel, RunOptions, Silent, TrainConfig,
    TrainingOptions, train,
};

use crate::vectors;
use crate::vectors::vectors_apart;

/// Three modalities that are quick to render and to learn.
fn three() -> SyntheticConfig {
    let modality = |name: &str, noise| SyntheticModality {
        name: name.to_owned(),
        kind: ModalityKind::Image,
        informativeness: 0.9,
        noise,
    };
    SyntheticConfig {
        classes: 3,
        nuisance_states: 2,
        modalities: vec![modality("left", 0.1), modality("right", 0.2), modality("above", 0.3)],
        train_size: 40,
        val_size: 20,
        test_size: 30,
        ..SyntheticConfig::default()
    }
}

fn config(method: &'static MethodSpec, dataset: &SyntheticConfig) -> TrainConfig {
    let train = TrainingOptions { epochs: 2, batch_size: 8, workers: 0, ..Default::default() };
    TrainConfig {
        data: Choice::of("synthetic", &dataset).unwrap(),
        method: Choice::named(method.name),
        encoder: Choice::named("resnet-slim").with("width", 2),
        train,
        ..TrainConfig::default()
    }
}

fn run(
    config: TrainConfig,
    folder: Option<&Path>,
    resume: bool,
    observer: &dyn Observer,
) -> tcmax_train::Result<tcmax_train::results::RunResult> {
    let dataset: SyntheticConfig = tcmax_registry::read(&config.data.options)?;
    let splits = synthetic::splits(&dataset, 1)?;
    let label = RunLabel::new(&config.method.name, 1);
    let existing = if resume { Existing::Resume } else { Existing::Refuse };
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder,
        existing,
        stop: None,
        observer,
        label: &label,
        group: None,
    };
    train(&config.check()?, &splits, 1, options)
}

#[test]
fn three_modalities_train_by_every_method_that_is_defined_for_them() {
    for method in METHODS {
        let result = run(config(method, &three()), None, false, &Silent);
        if method.modalities == Modalities::Two {
            let error = result.unwrap_err();
            assert!(error.is_setting());
            let text = error.to_string();
            assert!(text.contains("two modalities, and there are 3"), "{method}: {text}");
        } else {
            let result = result.unwrap_or_else(|error| panic!("{method}: {error}"));
            assert_eq!(result.test.modality_accuracy.len(), 3);
            assert!(result.probe_accuracy.iter().all(Option::is_some));
            let absence = result.absence.unwrap();
            assert!(absence.accuracy_without.iter().all(Option::is_some));
            assert!(absence.matching_auc.unwrap().is_finite());
        }
    }
}

#[test]
fn of_epochs_equal_in_accuracy_the_one_of_lowest_cross_entropy_is_kept() {
    // Classes so far apart that after two epochs no example is wrong, while cross-entropy still falls.
    let splits = vectors::splits(|rows, seed| vectors_apart(rows, seed, 12.0, 1.0, 0.0), 200);
    let config = TrainConfig {
        method: Choice::named(JOINT.name),
        encoder: Choice::named("mlp").with("widths", vec![8]),
        optimiser: Choice::named("sgd").with("learning-rate", 0.02),
        train: TrainingOptions { epochs: 8, workers: 0, ..Default::default() },
        ..TrainConfig::default()
    };
    let label = RunLabel::new(JOINT.name, 1);
    let device = &Device::Cpu;
    let options = RunOptions {
        devices: device.into(),
        folder: None,
        existing: Existing::Refuse,
        stop: None,
        observer: &Silent,
        label: &label,
        group: None,
    };
    let result = train(&config.check().unwrap(), &splits, 1, options).unwrap();
    let tied: Vec<(usize, f64)> = result
        .history
        .iter()
        .map(|record| (record.epoch, record.validation.as_ref().unwrap()))
        .filter(|(_, validation)| validation.accuracy == 1.0)
        .map(|(epoch, validation)| (epoch, validation.cross_entropy.unwrap()))
        .collect();
    assert!(tied.len() >= 4, "not the tie that was meant: {tied:?}");
    let lowest = tied.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert_eq!(result.best_epoch, lowest, "{tied:?}");
    assert_ne!(tied[0].0, lowest, "the first of equals is not the best: {tied:?}");
}

#[test]
fn heads_for_two_refuse_three_and_methods_refuse_heads_they_cannot_use() {
    let with_head = |method, head: &'static HeadSpec| {
        let config = TrainConfig { head: Choice::named(head.name), ..config(method, &three()) };
        run(config, None, false, &Silent).unwrap_err()
    };
    let refused: [(&'static MethodSpec, &'static HeadSpec, &str); 4] = [
        (&TCMAX, &FILM, "two modalities"),
        (&JOINT, &BI_GATED, "two modalities"),
        (&MLA, &CONCAT, "the head 'shared' only"),
        (&MM_COSINE, &GATED, "linear in the features"),
    ];
    for (method, head, words) in refused {
        let error = with_head(method, head);
        assert!(error.to_string().contains(words), "{method}, {head}: {error}");
        assert!(error.is_setting());
    }
}

/// Ends the run after its first epoch, as a kill would: by unwinding out of it.
struct Killer;

impl Observer for Killer {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn step(&self, _: &RunLabel, _: &tcmax_train::results::StepRecord) {}
    fn epoch(&self, _: &RunLabel, record: &tcmax_train::results::EpochRecord) {
        assert!(record.epoch < 2, "killed");
    }
    fn finished(&self, _: &RunLabel, _: &tcmax_train::results::RunResult) {}
}

/// Settings of a method by which what it remembers after two of four epochs matters.
fn remembering(method: &'static MethodSpec) -> TrainConfig {
    let mut two = three();
    two.modalities.truncate(2);
    let mut settings = config(method, &two);
    settings.train.epochs = 4;
    // The weights after all four, whichever epoch is the best.
    settings.train.keep = Keep::Last;
    // With the defaults, what is remembered after two epochs would not be looked at again; and no epoch be planned.
    for (method, option, value) in [
        (&G_BLEND, "every", toml::Value::from(1)),
        (&PMR, "momentum", 0.5.into()),
        (&MSLR, "window", 1.into()),
        (&AUG, "tolerance", 0.0.into()),
        (&ARL, "last-plain-epoch", 0.into()),
        (&UMT, "teacher-epochs", 2.into()),
        (&G2D, "teacher-epochs", 2.into()),
        (&LFM, "schedule", "learned".into()),
        (&DIAGNOSE_RELEARN, "every", 1.into()),
        (&SAMPLE_VALUATION, "warm-up", 1.into()),
        (&MODALITY_VALUATION, "warm-up", 1.into()),
        (&REMIX, "warm-up", 1.into()),
        (&RECONBOOST, "boosting-epochs", 1.into()),
        (&RECONBOOST, "rectifying-epochs", 1.into()),
    ] {
        settings.set(&format!("method.{}.{option}", method.name), value).unwrap();
    }
    settings
}

#[test]
fn what_methods_remember_survives_an_interruption() {
    for method in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let [whole, broken, forgetful] =
            ["whole", "broken", "forgetful"].map(|name| folder.path().join(name));
        run(remembering(method), Some(&whole), false, &Silent).unwrap();
        let killed =
            std::panic::catch_unwind(|| run(remembering(method), Some(&broken), false, &Killer));
        assert!(killed.is_err() && !broken.join("result.json").exists());
        let remembers = forget(method, &broken, &forgetful);
        run(remembering(method), Some(&broken), true, &Silent).unwrap();
        let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(model(&whole), model(&broken), "{method}");
        // The comparison above would notice a loss of memory.
        if remembers {
            match run(remembering(method), Some(&forgetful), true, &Silent) {
                Ok(_) => {
                    let same = model(&whole) == model(&forgetful);
                    assert!(!same, "{method}: its memory does not matter");
                }
                Err(
                    Error::BadFile { .. }
                    | Error::Loss(Loss::MissingState { .. } | Loss::WrongState { .. }),
                ) => {}
                Err(error) => panic!("{method}: {error}"),
            }
        }
    }
}

#[test]
fn a_teacher_survives_an_interruption() {
    for method in [&UMT, &G2D] {
        let settings = || {
            let mut settings = remembering(method);
            // The teacher is made before the second epoch, and asked in the last two.
            settings.set(&format!("method.{method}.teacher-epochs"), 1.into()).unwrap();
            settings
        };
        let folder = tempfile::tempdir().unwrap();
        let [whole, broken, untaught] =
            ["whole", "broken", "untaught"].map(|name| folder.path().join(name));
        run(settings(), Some(&whole), false, &Silent).unwrap();
        let killed = std::panic::catch_unwind(|| run(settings(), Some(&broken), false, &Killer));
        assert!(killed.is_err());
        let (mut state, progress): (State, Progress) =
            load(&broken.join("last.safetensors"), &Device::Cpu).unwrap();
        run(settings(), Some(&broken), true, &Silent).unwrap();
        let model = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(model(&whole), model(&broken), "{method}");
        state.retain(|name, _| !name.starts_with("teacher."));
        std::fs::create_dir(&untaught).unwrap();
        save(&untaught.join("last.safetensors"), &state, &progress).unwrap();
        let error = run(settings(), Some(&untaught), true, &Silent).unwrap_err();
        assert!(matches!(error, Error::Loss(Loss::NoTeacher { .. })), "{method}: {error}");
    }
}

/// Copies an interrupted run with what its method remembers at the start in place of what it remembers; whether that
/// is anything.
fn forget(method: &'static MethodSpec, run: &Path, copy: &Path) -> bool {
    let (mut state, progress): (State, Progress) =
        load(&run.join("last.safetensors"), &Device::Cpu).unwrap();
    let before = state.len();
    state.retain(|name, _| !name.starts_with("method."));
    let remembers = state.len() < before;
    let settings = remembering(method);
    let dataset: SyntheticConfig = tcmax_registry::read(&settings.data.options).unwrap();
    let data = synthetic::splits(&dataset, 1).unwrap().train;
    let settings = settings.check().unwrap();
    let (modalities, classes) = (data.modalities(), data.classes().len());
    let model = Model::new(&settings, modalities, classes, Seed::new(1), &Device::Cpu).unwrap();
    let fresh = model.method(&settings, data.len()).unwrap().state().unwrap();
    state.extend(fresh.into_iter().map(|(name, tensor)| (format!("method.{name}"), tensor)));
    std::fs::create_dir(copy).unwrap();
    save(&copy.join("last.safetensors"), &state, &progress).unwrap();
    remembers
}
