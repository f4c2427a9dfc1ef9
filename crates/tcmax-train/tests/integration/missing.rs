//! Feature vectors of any scale, modalities that some examples lack, and numbers of examples that leave
//! one over.

use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions, Splits};
use tcmax_datasets::SyntheticConfig;
use tcmax_losses::cross_entropy;
use tcmax_ops::Seed;
use tcmax_train::checkpoint::open_model;
use tcmax_train::results::{EpochRecord, RunResult, StepRecord};
use tcmax_train::{
    Choice, Classifier, EncodedSplit, Existing, Model, Observer, Registry, RunLabel, RunOptions,
    Silent, TrainConfig, TrainingOptions, absence, evaluate, evaluation_loader, summary, train,
};

use crate::vectors::{Vectors, splits, vectors};

fn config() -> TrainConfig {
    TrainConfig {
        encoder: Choice::named("mlp").with("widths", vec![16]),
        optimiser: Choice::named("sgd").with("learning-rate", 0.02),
        train: TrainingOptions { epochs: 12, workers: 0, ..Default::default() },
        ..TrainConfig::default()
    }
}

fn with(change: impl FnOnce(&mut TrainingOptions)) -> TrainConfig {
    let mut config = config();
    change(&mut config.train);
    config
}

fn run(config: TrainConfig, splits: &Splits, observer: &dyn Observer) -> RunResult {
    let label = RunLabel::new(&config.method.name, 1);
    let device = &Device::Cpu;
    let options = RunOptions {
        devices: device.into(),
        folder: None,
        existing: Existing::Refuse,
        stop: None,
        observer,
        label: &label,
        group: None,
    };
    train(&config.check().unwrap(), splits, 1, options).unwrap()
}

#[test]
fn a_summary_says_what_is_missing() {
    let splits = splits(with_gaps, 200);
    let notes = summary(&SyntheticConfig::default(), &splits).notes;
    assert_eq!(notes, ["'left' is missing in 70 of 700 examples"]);
}

#[test]
fn features_of_any_scale_train_to_the_same_accuracy() {
    let at = |scale: f64, standardise: bool| {
        let splits = splits(|rows, seed| vectors(rows, seed, scale, 0.0), 300);
        run(with(|train| train.standardise = standardise), &splits, &Silent).test
    };
    // Phi(2.5 sqrt(3) / 2) = 98.5 % from one modality, 99.9 % from both.
    let usual = at(1.0, true);
    assert!(usual.accuracy > 0.98, "{}", usual.accuracy);
    for scale in [1e-4, 1e4] {
        let test = at(scale, true);
        // The same but for rounding, which may turn an example or two.
        assert!((test.accuracy - usual.accuracy).abs() < 0.008, "{scale}: {}", test.accuracy);
        let own = test.modality_accuracy.iter().zip(&usual.modality_accuracy);
        for (own, usual) in own.map(|(own, usual)| (own.unwrap(), usual.unwrap())) {
            assert!((own - usual).abs() < 0.008, "{scale}: {own} is not {usual}");
        }
    }
    // What the epsilon of batch norm leaves of small numbers is less.
    let plain = at(1e-4, false);
    assert!(
        plain.cross_entropy > usual.cross_entropy.map(|nats| 2.0 * nats),
        "{:?}",
        plain.cross_entropy
    );
}

/// 1000 with unit noise, and every tenth example without the first modality, whichever split.
fn with_gaps(rows: usize, seed: u64) -> Vectors {
    let mut data = vectors(rows, seed, 1.0, 1000.0);
    data.missing = Box::new(|row, m| m == 0 && row / 2 % 10 == 3);
    data
}

#[test]
fn absent_examples_do_not_flatten_the_others() {
    for standardise in [true, false] {
        let splits = splits(with_gaps, 300);
        // One modality alone: what it lacks no other fills in.
        let alone = TrainConfig {
            method: Choice::named("joint"),
            train: TrainingOptions {
                standardise,
                modalities: vec!["left".to_owned()],
                ..config().train
            },
            ..config()
        };
        let result = run(alone, &splits, &Silent);
        let own = result.test.modality_accuracy[0].unwrap();
        assert!(own > 0.96, "standardise {standardise}: {own} of the examples that have it");
        // Nine tenths of 98.5 %, and half of the rest.
        let accuracy = result.test.accuracy;
        assert!((0.90..0.96).contains(&accuracy), "standardise {standardise}: {accuracy}");
        let both = run(with(|train| train.standardise = standardise), &splits, &Silent);
        assert!(both.test.accuracy > 0.975, "standardise {standardise}: {}", both.test.accuracy);
        assert!(both.test.total_correlation.unwrap() > 0.3);
    }
}

#[test]
fn running_statistics_are_those_of_the_examples_that_have_the_modality() {
    let data = with_gaps(300, 1);
    let checked = with(|train| train.standardise = false).check().unwrap();
    let model = Model::new(&checked, data.modalities(), 2, Seed::new(1), &Device::Cpu).unwrap();
    for batch in loader(Arc::new(data), 30).epoch(Seed::new(0)).map(Result::unwrap) {
        model.features(&batch, true).unwrap();
    }
    let state = model.params().snapshot().unwrap();
    let entry = |name: &str| state[name].to_vec1::<f32>().unwrap()[0];
    // After ten batches 1 - 0.9^10 = 65 % are from the data, whose variance is 1 + 1.25^2.
    let mean = entry("left_net.norm.running_mean");
    assert!((mean / 651.3 - 1.0).abs() < 0.01, "running mean {mean}");
    let var = entry("left_net.norm.running_var");
    assert!((1.2..3.5).contains(&var), "running variance {var}");
}

fn loader(data: Arc<dyn Dataset>, batch_size: usize) -> Loader {
    let options = LoaderOptions::in_order(batch_size);
    Loader::new(data, options, &Device::Cpu).unwrap()
}

/// Values of each modality, row by row.
type Features = Vec<Vec<Vec<f32>>>;

/// Features of a batch of eight in which only `having` have the first modality, and the largest
/// gradient of each parameter that has one.
fn one_batch(having: &'static [usize]) -> (Features, Vec<(String, f32)>) {
    let mut data = vectors(8, 1, 1.0, 1000.0);
    let checked = config().check().unwrap();
    let model = Model::new(&checked, data.modalities(), 2, Seed::new(1), &Device::Cpu).unwrap();
    model.standardise(&data).unwrap();
    data.missing = Box::new(move |row, m| m == 0 && !having.contains(&row));
    let batch: Batch = loader(Arc::new(data), 8).epoch(Seed::new(0)).next().unwrap().unwrap();
    let features = model.features(&batch, true).unwrap();
    let logits = model.head().logits(&features).unwrap();
    let labels = tcmax_estimators::Labels::from_tensor(&batch.labels, 2).unwrap();
    let loss = cross_entropy(&logits, &labels).unwrap();
    let gradients = tcmax_ops::backward(&loss).unwrap();
    let mut found = Vec::new();
    for (name, var) in model.params().trainable() {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(largest.is_finite(), "{name}: {largest}");
            found.push((name.to_owned(), largest));
        }
    }
    (features.iter().map(|z: &Tensor| z.to_vec2().unwrap()).collect(), found)
}

#[test]
fn batches_in_which_few_have_a_modality_train_those() {
    let trained = |gradients: &[(String, f32)], prefix: &str| {
        gradients.iter().filter(|(name, size)| name.starts_with(prefix) && *size > 0.0).count()
    };
    let (whole, all) = one_batch(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let count = trained(&all, "left_net");
    assert!(count == 4 && trained(&all, "right_net") == 4, "{all:?}");
    for having in [&[1, 4, 6][..], &[5], &[]] {
        let (features, gradients) = one_batch(having);
        for (row, values) in features[0].iter().enumerate() {
            let is_zero = values.iter().all(|value| *value == 0.0);
            assert_eq!(is_zero, !having.contains(&row), "row {row} of {having:?}");
        }
        assert_eq!(features[1], whole[1], "the other modality is not touched");
        let wanted = if having.is_empty() { 0 } else { count };
        assert_eq!(trained(&gradients, "left_net"), wanted, "{having:?}: {gradients:?}");
        assert_eq!(trained(&gradients, "right_net"), 4);
    }
}

#[test]
fn features_of_present_examples_do_not_depend_on_absent_ones() {
    // The same three examples in a batch of their own.
    let (features, _) = one_batch(&[1, 4, 6]);
    let data = vectors(8, 1, 1.0, 1000.0);
    let checked = config().check().unwrap();
    let model = Model::new(&checked, data.modalities(), 2, Seed::new(1), &Device::Cpu).unwrap();
    model.standardise(&data).unwrap();
    let whole = loader(Arc::new(data), 8).epoch(Seed::new(0)).next().unwrap().unwrap();
    let rows = Tensor::new(&[1u32, 4, 6], &Device::Cpu).unwrap();
    let inputs = whole.inputs.iter().map(|input| input.index_select(&rows, 0).unwrap()).collect();
    let labels = whole.labels.index_select(&rows, 0).unwrap();
    let batch =
        Batch { inputs, labels, targets: None, present: None, indices: vec![1, 4, 6], whole: None };
    let alone: Vec<Vec<f32>> = model.features(&batch, true).unwrap()[0].to_vec2().unwrap();
    for (alone, row) in alone.iter().zip([1, 4, 6]) {
        assert_eq!(*alone, features[0][row]);
    }
}

#[derive(Default)]
struct Notes {
    notes: Mutex<Vec<String>>,
    batches: Mutex<usize>,
}

impl Observer for Notes {
    fn started(&self, _: &RunLabel, _: usize, _: usize, _: usize) {}
    fn note(&self, _: &RunLabel, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, _: &RunLabel, _: &StepRecord) {
        *self.batches.lock().unwrap() += 1;
    }
    fn epoch(&self, _: &RunLabel, _: &EpochRecord) {}
    fn finished(&self, _: &RunLabel, _: &RunResult) {}
}

#[test]
fn a_single_example_left_over_joins_the_batch_before_it() {
    let make = |rows, seed| vectors(rows, seed, 1.0, 0.0);
    for (examples, batches, noted) in [(65, 2, true), (33, 1, true), (66, 3, false), (20, 1, false)]
    {
        let observer = Notes::default();
        let config = with(|train| train.epochs = 2);
        let result = run(config, &splits(make, examples), &observer);
        assert_eq!(*observer.batches.lock().unwrap(), 2 * batches, "{examples} examples");
        let notes = observer.notes.lock().unwrap();
        assert_eq!(notes.len(), usize::from(noted), "{examples} examples: {notes:?}");
        assert!(notes.iter().all(|note| note.contains("the last batch has 33")), "{notes:?}");
        assert!(result.history[0].train_loss.is_finite());
    }
    // Dropping is still possible, and a single example is too few whatever the batch size.
    let observer = Notes::default();
    let config = || with(|train| train.epochs = 1);
    let dropping = with(|train| (train.epochs, train.drop_last) = (1, true));
    run(dropping, &splits(make, 65), &observer);
    assert_eq!((*observer.batches.lock().unwrap(), observer.notes.lock().unwrap().len()), (2, 0));
    let label = RunLabel::new("tcmax", 1);
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
    let error = train(&config().check().unwrap(), &splits(make, 1), 1, options).unwrap_err();
    assert!(error.to_string().contains("single training example"), "{error}");
}

#[test]
fn a_saved_model_repeats_the_test_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let splits = splits(with_gaps, 200);
    let device = &Device::Cpu;
    for method in ["tcmax", "mla", "qmf"] {
        let out = folder.path().join(method);
        let config = with(|train| train.epochs = 4).by_method(method);
        let label = RunLabel::new(method, 1);
        let options = RunOptions {
            devices: device.into(),
            folder: Some(&out),
            existing: Existing::Refuse,
            stop: None,
            observer: &Silent,
            label: &label,
            group: None,
        };
        let result = train(&config.check().unwrap(), &splits, 1, options).unwrap();
        let saved = open_model(&out, &Registry::default(), device).unwrap();
        let method = saved.model.method(&saved.config, 0).unwrap();
        let loader = evaluation_loader(&saved.config, splits.test.clone(), device).unwrap();
        let split = EncodedSplit::of(&saved.model, &loader).unwrap();
        let classifier = Classifier {
            model: &saved.model,
            method: method.as_ref(),
            marginals: saved.marginals.as_ref(),
        };
        assert_eq!(evaluate(&classifier, &split, 2).unwrap(), result.test);
        assert_eq!(absence(&classifier, &split, 2).unwrap(), result.absence);
        // Without what averages absent modalities out, zeros would be predicted from.
        let zeros = Classifier { marginals: None, ..classifier };
        assert_ne!(evaluate(&zeros, &split, 2).unwrap().cross_entropy, result.test.cross_entropy);
    }
}
