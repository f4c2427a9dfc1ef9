//! Encoders that the greedy method joins between their stages: their gradients, what absent modalities mean to them, and
//! what cannot be had with them.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use tcmax_data::{Batch, Dataset, Loader, LoaderOptions, Modality, ModalityKind, Splits};
use tcmax_encoders::{Encoder, FeatureMaps, ResNet, ResNetConfig, Stem};
use tcmax_fusion::StageFusion;
use tcmax_losses::methods::curated_gates::{CuratedGates, GateMean};
use tcmax_losses::methods::{GREEDY, JOINT, MSLR};
use tcmax_ops::{Init, ParamBuilder, Params, Seed, to_scalar_f64, to_vec_f64};
use tcmax_parallel::{Alone, Group, Threads};
use tcmax_train::checkpoint::open_model;
use tcmax_train::results::RunResult;
use tcmax_train::{
    Choice, EncodedSplit, Existing, Model, Predictor, Registry, RunLabel, RunOptions, Silent,
    TrainConfig, TrainingOptions, check_stages, evaluation_loader, train,
};

/// Pictures, and clips of three frames, whose brightness tells the class; some are missing.
struct Pictures {
    modalities: Vec<Modality>,
    classes: Vec<String>,
    rows: usize,
    seed: u64,
    missing: fn(usize, usize) -> bool,
}

impl Pictures {
    fn new(rows: usize, seed: u64, missing: fn(usize, usize) -> bool) -> Self {
        let modality = |name: &str, shape: &[usize]| Modality {
            name: name.to_owned(),
            kind: ModalityKind::Image,
            shape: shape.to_vec(),
        };
        let modalities = vec![modality("still", &[1, 8, 8]), modality("clip", &[2, 3, 8, 6])];
        let classes = ["dark", "bright"].map(str::to_owned).to_vec();
        Self { modalities, classes, rows, seed, missing }
    }
}

impl Dataset for Pictures {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn len(&self) -> usize {
        self.rows
    }
    fn label(&self, index: usize) -> u32 {
        (index % 2) as u32
    }
    fn present(&self, index: usize, modality: usize) -> bool {
        !(self.missing)(index, modality)
    }
    fn read(&self, row: usize, m: usize, _: Seed, out: &mut [f32]) -> tcmax_data::Result<()> {
        let unit = Init::Normal { mean: self.label(row) as f64, std: 1.0 };
        let seed = Seed::new(self.seed).index(row as u64).index(m as u64);
        let pixels = unit.tensor(&out.len().into(), seed, DType::F32, &Device::Cpu);
        out.copy_from_slice(&pixels.unwrap().to_vec1::<f32>().unwrap());
        Ok(())
    }
}

fn nothing(_: usize, _: usize) -> bool {
    false
}

/// Every third lacks one modality, now this, now that.
fn some(row: usize, m: usize) -> bool {
    row % 3 == 1 && (row / 3) % 2 == m
}

/// The first example alone has the first modality.
fn lonely(row: usize, m: usize) -> bool {
    m == 0 && row > 0
}

fn splits(missing: fn(usize, usize) -> bool) -> Splits {
    let of = |rows, seed| Arc::new(Pictures::new(rows, seed, missing)) as Arc<dyn Dataset>;
    // Four examples in the last batch: enough for two shards.
    Splits { train: of(28, 1), validation: of(12, 2), test: of(14, 3) }
}

fn config() -> TrainConfig {
    let train = TrainingOptions { epochs: 3, batch_size: 8, workers: 0, ..Default::default() };
    TrainConfig {
        method: Choice::named(GREEDY.name).with("alpha", 1e-9).with("window", 2),
        encoder: Choice::named("resnet-slim").with("width", 2),
        train,
        ..TrainConfig::default()
    }
}

fn run(
    config: &TrainConfig,
    splits: &Splits,
    folder: Option<&std::path::Path>,
    group: Option<&Arc<dyn Group>>,
) -> tcmax_train::Result<RunResult> {
    let label = RunLabel::new(GREEDY.name, 1);
    let options = RunOptions {
        devices: (&Device::Cpu).into(),
        folder,
        existing: Existing::Refuse,
        stop: None,
        observer: &Silent,
        label: &label,
        group,
    };
    train(&config.clone().check()?, splits, 1, options)
}

fn model(missing: fn(usize, usize) -> bool) -> (Model, Batch) {
    let data = Arc::new(Pictures::new(9, 4, missing));
    let config = config().check().unwrap();
    let model = Model::new(&config, data.modalities(), 2, Seed::new(2), &Device::Cpu).unwrap();
    let loader = Loader::new(data, LoaderOptions::in_order(9), &Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
    (model, batch)
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

/// Two small ResNets in f64, one on clips, and the blocks between them.
struct Joined {
    encoders: [ResNet; 2],
    gates: CuratedGates,
    params: Params,
    inputs: [Tensor; 2],
}

impl Joined {
    fn new() -> Self {
        let builder = ParamBuilder::new(Seed::new(6), DType::F64, &Device::Cpu);
        let encoder = |name: &str, channels: usize| {
            let config = ResNetConfig::slim(channels, Stem::Conv3x3, 2);
            ResNet::new(&config, &builder.pp(name)).unwrap()
        };
        let encoders = [encoder("a", 1), encoder("b", 2)];
        let channels = encoders.each_ref().map(|encoder| encoder.staged().unwrap().channels());
        let own = builder.pp("method");
        let gates = CuratedGates::new(&channels, 0, GateMean::Running, &own).unwrap();
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let input = |seed, shape: &[usize]| {
            unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
        };
        let inputs = [input(1, &[3, 1, 8, 8]), input(2, &[3, 2, 2, 6, 8])];
        Self { encoders, gates, params: builder.params(), inputs }
    }

    fn loss(&self) -> Tensor {
        let staged = self.encoders.each_ref().map(|encoder| encoder.staged().unwrap());
        let mut maps: Vec<FeatureMaps> =
            (0..2).map(|m| staged[m].begin(&self.inputs[m], true).unwrap()).collect();
        for stage in 0..4 {
            maps = (0..2)
                .zip(maps)
                .map(|(m, maps)| staged[m].stage(stage, maps, true).unwrap())
                .collect();
            let means: Vec<Tensor> = maps.iter().map(|maps| maps.means().unwrap()).collect();
            let factors = self.gates.factors(stage, &means, &[&[true; 3], &[true; 3]], true);
            let factors = factors.unwrap().unwrap();
            maps = maps.iter().zip(&factors).map(|(maps, f)| maps.scaled(f).unwrap()).collect();
        }
        let features = (0..2).map(|m| staged[m].end(&maps[m]).unwrap());
        let features = Tensor::cat(&features.collect::<Vec<_>>(), 1).unwrap();
        let weights = features.detach().ones_like().unwrap();
        let weights = weights.cumsum(1).unwrap();
        (features.sqr().unwrap() * weights).unwrap().sum_all().unwrap()
    }
}

#[test]
fn gradients_through_both_networks_are_those_of_finite_differences() {
    let net = Joined::new();
    let gradients = net.loss().backward().unwrap();
    let set = |var: &Var, values: Vec<f64>| {
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
    };
    let mut compared = 0;
    for (name, var) in net.params.trainable() {
        let gradient = to_vec_f64(gradients.get(var.as_tensor()).unwrap()).unwrap();
        let largest = gradient.iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
        assert!(largest.is_finite() && largest > 0.0, "{name}");
        let values = to_vec_f64(var.as_tensor()).unwrap();
        // Three entries of each, the first among them.
        for at in (0..values.len()).step_by((values.len() / 3).max(1)) {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[at] += by;
                set(var, values);
                to_scalar_f64(&net.loss()).unwrap()
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            set(var, values.clone());
            let error = (difference - gradient[at]).abs() / largest.max(1.0);
            assert!(error < 1e-5, "{name}, {at}: {difference} and {}", gradient[at]);
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn a_held_modality_learns_by_itself() {
    let net = Joined::new();
    net.loss();
    for m in 0..2 {
        net.gates.hold(Some(m)).unwrap();
        let gradients = net.loss().backward().unwrap();
        for (name, var) in net.params.trainable() {
            let is_held = name.contains(["fc_excite_x", "fc_excite_y"][m]);
            assert_eq!(gradients.get(var.as_tensor()).is_none(), is_held, "{name}");
        }
    }
}

#[test]
fn features_of_one_modality_depend_on_both_and_not_on_other_examples() {
    let ((model, batch), (_, gaps)) = (model(nothing), model(some));
    assert!(model.is_joined());
    let whole = model.features(&batch, false).unwrap().iter().map(rows).collect::<Vec<_>>();
    let with_gaps = model.features(&gaps, false).unwrap().iter().map(rows).collect::<Vec<_>>();
    for row in 0..9 {
        for m in 0..2 {
            let (one, other) = (&whole[m][row], &with_gaps[m][row]);
            let gap = one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            if some(row, m) {
                assert!(other.iter().all(|feature| *feature == 0.0), "{row}, {m}");
            } else if some(row, 1 - m) {
                assert!(gap > 1e-4, "{row}, {m}: without the other, its features are others");
            } else {
                assert!(gap < 1e-5, "{row}, {m}: {gap}");
            }
        }
    }
    // A batch of one; and one example alone that has a modality, in training.
    for (rows_there, missing, train) in
        [(1, nothing as fn(usize, usize) -> bool, false), (9, lonely, true)]
    {
        let data = Arc::new(Pictures::new(rows_there, 4, missing));
        let options = LoaderOptions::in_order(rows_there);
        let loader = Loader::new(data, options, &Device::Cpu).unwrap();
        let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
        for z in model.features(&batch, train).unwrap() {
            assert!(rows(&z).iter().flatten().all(|feature| feature.is_finite()));
        }
    }
}

#[test]
fn runs_with_absent_modalities_are_tested_without_them_as_they_predict_without_them() {
    for missing in [nothing, some] {
        let (splits, folder) = (splits(missing), tempfile::tempdir().unwrap());
        let result = run(&config(), &splits, Some(folder.path()), None).unwrap();
        assert!(result.history.iter().any(|epoch| epoch.metrics["curation"] > 0.0));
        let saved = open_model(folder.path(), &Registry::default(), &Device::Cpu).unwrap();
        let loader = evaluation_loader(&saved.config, splits.test.clone(), &Device::Cpu).unwrap();
        let accuracy = |without: &[String]| {
            let predictor = Predictor::new(&saved, without, folder.path()).unwrap();
            let batches = loader.epoch(Seed::new(0)).map(Result::unwrap);
            let found: Vec<_> = batches
                .flat_map(|batch| predictor.predict(splits.test.as_ref(), &batch).unwrap())
                .collect();
            let right = found.iter().filter(|one| Some(one.class) == one.label).count();
            right as f64 / found.len() as f64
        };
        assert!((accuracy(&[]) - result.test.accuracy).abs() < 1e-12);
        let absence = result.absence.unwrap();
        for (m, name) in ["still", "clip"].into_iter().enumerate() {
            let recorded = absence.accuracy_without[m].unwrap();
            assert!((accuracy(&[name.to_owned()]) - recorded).abs() < 1e-12, "{name}");
        }
        assert!(result.contributions.unwrap().iter().all(Option::is_some));
        // Whole splits have the same features, with and without the others.
        let of = EncodedSplit::of(&saved.model, &loader).unwrap();
        let with = EncodedSplit::with_absences(&saved.model, &loader).unwrap();
        assert_eq!(rows(&of.features[1]), rows(&with.features[1]));
    }
}

#[test]
fn members_train_what_one_process_trains_with_modalities_missing() {
    let splits = splits(some);
    let mut config = config();
    config.train.epochs = 2;
    let whole = run(&config, &splits, None, None).unwrap();
    let alone: Arc<dyn Group> = Arc::new(Alone);
    let results = tcmax_parallel::run(Threads::members(2, &alone).unwrap(), |member| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| run(&config, &splits, None, Some(&member)))
    });
    for result in results {
        let result = result.unwrap();
        for (one, other) in result.history.iter().zip(&whole.history) {
            let (a, b) = (one.train_loss, other.train_loss);
            assert!((a - b).abs() < 2e-3 * a.abs().max(1.0), "{a} and {b}");
            assert_eq!(one.metrics["curation"], other.metrics["curation"]);
        }
    }
}

#[test]
fn what_cannot_be_joined_is_refused_by_name() {
    let data = splits(nothing);
    let modalities = data.train.modalities();
    let error = |config: TrainConfig| {
        let error = run(&config, &data, None, None).unwrap_err();
        assert!(error.is_setting(), "{error}");
        let checked = check_stages(&config.check().unwrap(), modalities).unwrap_err();
        assert_eq!(checked.to_string(), error.to_string());
        error.to_string()
    };
    let encoder = Choice::named("vit").with("width", 8).with("heads", 2).with("layers", 1);
    let text =
        error(TrainConfig { encoder: encoder.with("hidden", 8).with("patch", 4), ..config() });
    assert!(text.contains("'vit' of 'still' has none: it needs ResNets"), "{text}");
    let mut frozen = config();
    frozen.set("encoder.clip.frozen-epochs", 1.into()).unwrap();
    let text = error(frozen);
    assert!(text.starts_with("encoder.clip.frozen-epochs: must be 0"), "{text}");
    // Others take any.
    for method in [&JOINT, &MSLR] {
        let settings = TrainConfig { method: Choice::named(method.name), ..config() };
        check_stages(&settings.check().unwrap(), modalities).unwrap();
        assert!(!method.needs_stages);
    }
}
