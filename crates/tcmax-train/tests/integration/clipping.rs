//! Why TCMax clips gradients from three modalities on: six views with a common factor make it collapse otherwise.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Column, Modality, ModalityKind, Splits, TableDataset};
use tcmax_ops::{Init, Seed};
use tcmax_train::{
    Choice, Existing, RunLabel, RunOptions, Silent, TrainConfig, TrainingOptions, train,
};

const CLASSES: usize = 10;
const LATENT: usize = 6;
/// Numbers of each view: some wide, one narrow.
const WIDTHS: [usize; 6] = [216, 76, 64, 6, 240, 47];
const COMMON: f64 = 4.0;
const EXAMPLES: [usize; 3] = [384, 96, 240];

fn normal(shape: (usize, usize), seed: Seed) -> Vec<f64> {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    let tensor = unit.tensor(&shape.into(), seed, DType::F64, &Device::Cpu).unwrap();
    tensor.flatten_all().and_then(|values| values.to_vec1()).unwrap()
}

/// What each view sees of the class through tanh units, in noise, and a factor common to all views and numbers.
fn view(m: usize, labels: &[u32], factor: &[f64], seed: Seed) -> Vec<f32> {
    let (rows, width, seed) = (labels.len(), WIDTHS[m], seed.stream("view").index(m as u64));
    let means = normal((CLASSES, LATENT), seed.stream("means"));
    let own = normal((rows, LATENT), seed.stream("own"));
    let latent = (0..rows * LATENT)
        .map(|i| means[labels[i / LATENT] as usize * LATENT + i % LATENT] + own[i]);
    let latent = Tensor::from_vec(latent.collect::<Vec<f64>>(), (rows, LATENT), &Device::Cpu);
    let map = normal((LATENT, width), seed.stream("map"));
    let map = Tensor::from_vec(map, (LATENT, width), &Device::Cpu).unwrap();
    let seen = (latent.unwrap().matmul(&map).unwrap() / (LATENT as f64).sqrt()).unwrap();
    let seen: Vec<f64> = seen.tanh().unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let noise = normal((rows, width), seed.stream("noise"));
    let jitter = normal((rows, 1), seed.stream("jitter"));
    let strengths = normal((1, width), seed.stream("strengths"));
    let number = |i: usize| {
        let (row, column) = (i / width, i % width);
        let common = (factor[row] + 0.3 * jitter[row]) * (1.0 + 0.3 * strengths[column]).abs();
        (seen[i] + 0.3 * noise[i] + COMMON * common) as f32
    };
    (0..rows * width).map(number).collect()
}

fn splits(seed: u64) -> Splits {
    let seed = Seed::new(seed);
    let rows: usize = EXAMPLES.iter().sum();
    let labels: Vec<u32> = (0..rows).map(|row| (row % CLASSES) as u32).collect();
    let factor = normal((rows, 1), seed.stream("factor"));
    let items: Vec<Arc<Vec<f32>>> =
        (0..WIDTHS.len()).map(|m| Arc::new(view(m, &labels, &factor, seed))).collect();
    let modality = |m: usize| Modality {
        name: format!("view-{m}"),
        kind: ModalityKind::Features,
        shape: vec![WIDTHS[m]],
    };
    let modalities = Arc::new((0..WIDTHS.len()).map(modality).collect::<Vec<_>>());
    let classes = Arc::new((0..CLASSES).map(|class| class.to_string()).collect::<Vec<_>>());
    let mut first = 0;
    let [train, validation, test] = EXAMPLES.map(|count| {
        let of_split = first..first + count;
        first += count;
        let columns = items.iter().map(|items| Column {
            items: items.clone(),
            rows: of_split.clone().collect(),
            blanks: None,
        });
        Arc::new(TableDataset {
            modalities: modalities.clone(),
            classes: classes.clone(),
            labels: labels[of_split.clone()].to_vec(),
            columns: columns.collect(),
            identities: None,
        })
    });
    Splits { train, validation, test }
}

/// Test accuracy after 20 epochs at the rate 0.05, with TCMax's own clip norm or another.
fn accuracy(clip_norm: Option<f64>, seed: u64) -> f64 {
    let train_options = TrainingOptions {
        epochs: 20,
        batch_size: 64,
        workers: 0,
        clip_norm,
        ..TrainingOptions::default()
    };
    let config = TrainConfig {
        method: Choice::named("tcmax"),
        encoder: Choice::named("mlp").with("widths", vec![64, 64]),
        optimiser: Choice::named("sgd").with("learning-rate", 0.05),
        schedule: Choice::named("constant"),
        train: train_options,
        ..TrainConfig::default()
    };
    let label = RunLabel::new("tcmax", seed);
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder: None,
        existing: Existing::Refuse,
        stop: None,
        observer: &Silent,
        label: &label,
        group: None,
    };
    train(&config.check().unwrap(), &splits(seed), seed, options).unwrap().test.accuracy
}

#[test]
fn six_wide_views_collapse_without_the_clip_and_not_with_it() {
    let of_seeds = |clip: Option<f64>| [1, 2].map(|seed| accuracy(clip, seed));
    let (usual, never) = (of_seeds(None), of_seeds(Some(0.0)));
    let worst = |accuracies: &[f64]| accuracies.iter().copied().fold(1.0, f64::min);
    assert!(worst(&usual) > 0.7, "TCMax clips gradients of six modalities by itself: {usual:?}");
    assert!(worst(&never) < worst(&usual) - 0.15, "it does not collapse: {never:?}, {usual:?}");
}
