//! What is measured, by criterion and beside PyTorch: single operations and whole training steps.

pub mod encoders;
pub mod losses;
mod setting;
mod transformer;

use std::time::Instant;

use candle_core::{D, DType, Tensor, Var};
use tcmax_encoders::{Encoder, InputKind, ResNet, ResNetConfig, Stem};
use tcmax_estimators::bound::{MINE, TCNE};
use tcmax_estimators::fit::{FitConfig, fit};
use tcmax_estimators::{EstimatorSpec, Sample, Variable};
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Branches, Conv2dConfig, Init, MaxPool2dConfig, ParamBuilder,
    Seed, Sgd, SgdOptions, keep_awake, optimisers,
};
use tcmax_registry::Table;

use losses::Losses;
use setting::{device, in_precision, wait};
use transformer::{Network as Transformer, Part};

pub use setting::measure_on;

/// The examples of the book, compiled and run: here, as this crate is never published and may look outside its
/// folder.
#[cfg(doctest)]
#[doc = include_str!("../../docs/src/extending.md")]
struct Book;

/// Something to time: each call is one forward and backward pass, one whole training step, or one fit.
pub type Work = Box<dyn FnMut() -> tcmax_encoders::Result<()>>;

/// A named measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// Its name, the same on PyTorch's side.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Forward, backward and SGD with momentum and weight decay of some encoders with one linear
    /// head on all their features.
    Step(&'static [Network]),
    /// Forward and backward of a convolution.
    Conv { x: [usize; 4], kernel: usize, to: usize, stride: usize },
    /// Forward and backward of batch norm and ReLU in training, of (batch, side, channels).
    Norm { batch: usize, side: usize, channels: usize },
    /// Forward and backward of a 3x3/2 maximum.
    Pool { batch: usize, side: usize, channels: usize },
    /// One step of [`NUMBERS`] parameters by the optimiser of this name.
    Optimiser(&'static str),
    /// Forward and backward of a transformer, outside training.
    Transformer(Transformer),
    /// Forward and backward of one operation of a transformer.
    Part(Part),
    /// Forward and backward of the encoder that the case is called after.
    Encoder { kind: InputKind, shape: &'static [usize] },
    /// Forward and backward of TCMax on a concat head.
    Tcmax { batch: usize, classes: usize },
    /// A whole fit of [`FIT_STEPS`] steps to 10,000 rows of so many correlated Gaussian variables.
    Fit { estimator: &'static EstimatorSpec, variables: usize },
}

/// An encoder with the shape of its inputs, as (batch, channels, height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    slim: bool,
    stem: Stem,
    input: [usize; 4],
}

const RESNET18: Network = Network { slim: false, stem: Stem::Conv7x7, input: [8, 3, 224, 224] };
const SLIM: Network = Network { slim: true, stem: Stem::Conv7x7, input: [32, 1, 129, 51] };

/// Features of each modality of TCMax, the same on PyTorch's side.
const WIDTH: usize = 512;

/// Parameters of an optimiser's step, the same on PyTorch's side.
const NUMBERS: usize = 11_000_000;

/// Steps of a fit, the same on PyTorch's side.
const FIT_STEPS: usize = 1000;

/// What a GPU is measured by, beside PyTorch with its own kernels.
pub const DEVICE_CASES: &[Case] = &[
    Case {
        name: "device-224",
        title: "ResNet-18 step, 64 images of 224 x 224",
        kind: Kind::Step(&[Network { input: [64, 3, 224, 224], ..RESNET18 }]),
    },
    Case {
        name: "device-audio",
        title: "ResNet-18 step, 64 spectrograms of 257 x 188",
        kind: Kind::Step(&[Network { input: [64, 1, 257, 188], ..RESNET18 }]),
    },
    Case {
        name: "device-vit",
        title: "ViT-B/32 forward and backward, 64 images of 224 x 224",
        kind: Kind::Transformer(Transformer::VitB32Of64),
    },
    Case {
        name: "device-tcmax",
        title: "TCMax, 4096 examples of 1000 classes, two modalities of 512 features",
        kind: Kind::Tcmax { batch: 4096, classes: 1000 },
    },
];

/// Everything that can be measured on a CPU, but for single [`encoders`].
pub const CASES: &[Case] = &[
    Case {
        name: "step-224",
        title: "ResNet-18 step, 8 images of 224 x 224",
        kind: Kind::Step(&[RESNET18]),
    },
    Case {
        name: "step-audio",
        title: "ResNet-18 step, 8 spectrograms of 257 x 188",
        kind: Kind::Step(&[Network { input: [8, 1, 257, 188], ..RESNET18 }]),
    },
    Case {
        name: "step-32",
        title: "ResNet-18 step, 32 images of 32 x 32",
        kind: Kind::Step(&[Network { input: [32, 3, 32, 32], ..RESNET18 }]),
    },
    Case {
        name: "step-av-digits",
        title: "av-digits model step, batch 32",
        kind: Kind::Step(&[SLIM, Network { stem: Stem::Conv3x3, input: [32, 1, 28, 28], ..SLIM }]),
    },
    Case {
        name: "vit-b32",
        title: "ViT-B/32 forward and backward, 8 images of 224 x 224",
        kind: Kind::Transformer(Transformer::VitB32),
    },
    Case {
        name: "distilbert",
        title: "DistilBERT forward and backward, 8 texts of 128 tokens",
        kind: Kind::Transformer(Transformer::DistilBert),
    },
    Case {
        name: "distilbert-texts",
        title: "DistilBERT forward and backward, 8 texts of 16 to 128 tokens",
        kind: Kind::Transformer(Transformer::DistilBertTexts),
    },
    Case {
        name: "fit-tcne",
        title: "TCNE fit, 3 variables, 10,000 rows, 1,000 steps",
        kind: Kind::Fit { estimator: &TCNE, variables: 3 },
    },
    Case {
        name: "fit-mine",
        title: "MINE fit, 2 variables, 10,000 rows, 1,000 steps",
        kind: Kind::Fit { estimator: &MINE, variables: 2 },
    },
    conv("conv-stem", "7x7/2, 3 to 64, 8 x 224 x 224", [8, 224, 224, 3], 7, 64, 2),
    conv("conv-56", "3x3, 64 to 64, 8 x 56 x 56", [8, 56, 56, 64], 3, 64, 1),
    conv("conv-28", "3x3, 128 to 128, 8 x 28 x 28", [8, 28, 28, 128], 3, 128, 1),
    conv("conv-14", "3x3, 256 to 256, 8 x 14 x 14", [8, 14, 14, 256], 3, 256, 1),
    conv("conv-7", "3x3, 512 to 512, 8 x 7 x 7", [8, 7, 7, 512], 3, 512, 1),
    conv("conv-56/2", "3x3/2, 64 to 128, 8 x 56 x 56", [8, 56, 56, 64], 3, 128, 2),
    conv("conv-14/2", "3x3/2, 256 to 512, 8 x 14 x 14", [8, 14, 14, 256], 3, 512, 2),
    conv("conv-1x1/2", "1x1/2, 64 to 128, 8 x 56 x 56", [8, 56, 56, 64], 1, 128, 2),
    conv("conv-2", "3x3, 256 to 256, 32 x 2 x 2", [32, 2, 2, 256], 3, 256, 1),
    conv("conv-8", "3x3, 8 to 8, 32 x 33 x 13", [32, 33, 13, 8], 3, 8, 1),
    conv("patches", "16x16/16, 3 to 192, 8 x 224 x 224", [8, 224, 224, 3], 16, 192, 16),
    Case {
        name: "norm-56",
        title: "batch norm + ReLU, 8 x 56 x 56 x 64",
        kind: Kind::Norm { batch: 8, side: 56, channels: 64 },
    },
    Case {
        name: "pool-112",
        title: "max pool 3x3/2, 8 x 112 x 112 x 64",
        kind: Kind::Pool { batch: 8, side: 112, channels: 64 },
    },
    part("linear-768", "linear, 1,024 x 768 to 768", Part::Linear { inputs: 768, outputs: 768 }),
    part("linear-up", "linear, 1,024 x 768 to 3,072", Part::Linear { inputs: 768, outputs: 3072 }),
    part(
        "linear-down",
        "linear, 1,024 x 3,072 to 768",
        Part::Linear { inputs: 3072, outputs: 768 },
    ),
    part("attention", "attention, 8 texts of 128 tokens, 12 heads of 64", Part::Attention),
    part("layer-norm", "layer norm, 1,024 x 768", Part::LayerNorm),
    part("gelu", "GELU, 1,024 x 3,072", Part::Gelu),
    part("embedding", "embedding, 1,024 of 30,522 x 768", Part::Embedding),
    Case { name: "sgd", title: "SGD of 11 million parameters", kind: Kind::Optimiser("sgd") },
    Case { name: "adam", title: "Adam of 11 million parameters", kind: Kind::Optimiser("adam") },
    Case { name: "adamw", title: "AdamW of 11 million parameters", kind: Kind::Optimiser("adamw") },
];

const fn conv(
    name: &'static str,
    title: &'static str,
    x: [usize; 4],
    kernel: usize,
    to: usize,
    stride: usize,
) -> Case {
    Case { name, title, kind: Kind::Conv { x, kernel, to, stride } }
}

const fn part(name: &'static str, title: &'static str, part: Part) -> Case {
    Case { name, title, kind: Kind::Part(part) }
}

impl Case {
    /// The case of that name.
    pub fn named(name: &str) -> Option<Self> {
        CASES
            .iter()
            .chain(DEVICE_CASES)
            .chain(encoders::CASES)
            .copied()
            .find(|case| case.name == name)
    }

    /// Whether it is a whole training step.
    pub fn is_step(&self) -> bool {
        matches!(self.kind, Kind::Step(_))
    }

    /// Whether the layout of images changes PyTorch's time.
    pub fn has_layouts(&self) -> bool {
        match self.kind {
            Kind::Encoder { .. } => self.name.starts_with("encoder-resnet"),
            Kind::Fit { .. } | Kind::Part(_) | Kind::Transformer(_) | Kind::Tcmax { .. } => false,
            _ => true,
        }
    }

    /// Whether it is a network with millions of parameters outside training.
    pub fn is_encoder(&self) -> bool {
        matches!(self.kind, Kind::Encoder { .. } | Kind::Transformer(_))
    }

    /// Whether it is a whole fit of an estimator.
    pub fn is_fit(&self) -> bool {
        matches!(self.kind, Kind::Fit { .. })
    }

    /// Makes everything the work needs.
    ///
    /// # Errors
    /// Only if an operation refuses its arguments.
    pub fn prepare(&self) -> tcmax_encoders::Result<Work> {
        match self.kind {
            Kind::Step(networks) => training_step(networks),
            Kind::Conv { x, kernel, to, stride } => convolution(x, kernel, to, stride),
            Kind::Norm { batch, side, channels } => normalisation(batch, side, channels),
            Kind::Pool { batch, side, channels } => pooling(batch, side, channels),
            Kind::Optimiser(name) => optimiser_step(name),
            Kind::Transformer(network) => transformer::network(network),
            Kind::Part(part) => transformer::part(part),
            Kind::Encoder { kind, shape } => encoders::work(self.name, kind, shape),
            Kind::Tcmax { batch, classes } => {
                let losses = Losses::new(batch, classes, WIDTH);
                let losses = losses.map_err(candle_core::Error::wrap)?;
                Ok(Box::new(move || Ok(losses.tcmax().map_err(candle_core::Error::wrap)?)))
            }
            Kind::Fit { estimator, variables } => estimator_fit(estimator, variables),
        }
    }

    /// Milliseconds of each of `count` calls, after two that are not counted.
    ///
    /// # Errors
    /// Only if an operation fails.
    pub fn time(&self, count: usize) -> tcmax_encoders::Result<Vec<f64>> {
        let mut work = self.prepare()?;
        let mut times = Vec::with_capacity(count);
        for call in 0..count + 2 {
            let start = Instant::now();
            work()?;
            wait()?;
            if call >= 2 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(times)
    }
}

impl Case {
    /// How the work is cut into tasks: of several calls, after two that are not counted, the one whose longest
    /// chain of tasks took the shortest time. The caller is the one thread of a pool.
    ///
    /// # Errors
    /// If an operation fails, or the caller is another thread.
    pub fn measure_tasks(&self, count: usize) -> tcmax_encoders::Result<tcmax_ops::Work> {
        let mut work = self.prepare()?;
        work()?;
        work()?;
        let mut best: Option<tcmax_ops::Work> = None;
        for _ in 0..count.max(1) {
            let (result, measured) = tcmax_ops::measure_tasks(&mut work)?;
            result?;
            best = best.filter(|best| best.span <= measured.span).or(Some(measured));
        }
        Ok(best.expect("measured at least once"))
    }
}

const UNIT: Init = Init::Normal { mean: 0.0, std: 1.0 };

fn builder() -> ParamBuilder {
    ParamBuilder::new(Seed::new(0), DType::F32, device())
}

fn random(name: &str, shape: &[usize]) -> tcmax_encoders::Result<Var> {
    let seed = Seed::new(1).stream(name);
    Ok(Var::from_tensor(&UNIT.tensor(&shape.into(), seed, DType::F32, device())?)?)
}

fn training_step(networks: &[Network]) -> tcmax_encoders::Result<Work> {
    const CLASSES: usize = 10;
    let builder = builder();
    let mut encoders = Vec::new();
    let mut inputs = Vec::new();
    for (number, network) in networks.iter().enumerate() {
        let [_, channels, ..] = network.input;
        let config = match network.slim {
            true => ResNetConfig::slim(channels, network.stem, 8),
            false => ResNetConfig::resnet18(channels, network.stem),
        };
        encoders.push(ResNet::new(&config, &builder.pp(number))?);
        inputs.push(random("input", &network.input)?.as_detached_tensor());
    }
    let width: usize = encoders.iter().map(Encoder::feature_width).sum();
    let head = builder.param("head", (width, CLASSES), Init::XavierNormal)?;
    let batch = networks[0].input[0];
    let labels: Vec<u32> = (0..batch).map(|row| (row % CLASSES) as u32).collect();
    let labels = Tensor::from_vec(labels, (batch, 1), device())?;
    let options = SgdOptions { learning_rate: 1e-3, ..SgdOptions::default() };
    let mut sgd = Sgd::new(&builder.params(), options)?;
    let mut step = move || {
        let encode = |m: usize| in_precision(|| encoders[m].encode(&inputs[m], true));
        let (branches, features) = Branches::grow(encoders.len(), encode)?;
        let features = Tensor::cat(&features, D::Minus1)?.to_dtype(DType::F32)?;
        let logits = features.matmul(&head)?;
        let own = logits.gather(&labels, 1)?.squeeze(1)?;
        let loss = (tcmax_ops::log_sum_exp(&logits, 1)? - own)?.mean_all()?;
        let mut gradients = tcmax_ops::backward(&loss)?;
        branches.backward(&mut gradients)?;
        sgd.step(&gradients)?;
        Ok(())
    };
    // As the trainer does.
    Ok(Box::new(move || keep_awake(&mut step)))
}

fn convolution(
    x: [usize; 4],
    kernel: usize,
    to: usize,
    stride: usize,
) -> tcmax_encoders::Result<Work> {
    let weight = random("weight", &[kernel, kernel, x[3], to])?;
    let x = random("x", &x)?;
    let padding = if kernel == stride { 0 } else { kernel / 2 };
    let config = Conv2dConfig { stride: (stride, stride), padding: (padding, padding) };
    Ok(Box::new(move || {
        let y = tcmax_ops::conv2d(x.as_tensor(), weight.as_tensor(), config)?;
        tcmax_ops::backward(&y)?;
        Ok(())
    }))
}

fn normalisation(batch: usize, side: usize, channels: usize) -> tcmax_encoders::Result<Work> {
    let norm = BatchNorm2d::new(&builder(), channels, BatchNormConfig::default())?;
    let x = random("x", &[batch, side, side, channels])?;
    Ok(Box::new(move || {
        tcmax_ops::backward(&norm.forward_relu(x.as_tensor(), true)?)?;
        Ok(())
    }))
}

fn pooling(batch: usize, side: usize, channels: usize) -> tcmax_encoders::Result<Work> {
    let x = random("x", &[batch, side, side, channels])?;
    let config = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    Ok(Box::new(move || {
        tcmax_ops::backward(&tcmax_ops::max_pool2d(x.as_tensor(), config)?)?;
        Ok(())
    }))
}

fn optimiser_step(name: &str) -> tcmax_encoders::Result<Work> {
    let builder = builder();
    let p = builder.param("p", NUMBERS, Init::Const(1.0))?;
    let options = Table::from_iter([
        ("learning-rate".to_owned(), 1e-3.into()),
        ("weight-decay".to_owned(), 1e-4.into()),
    ]);
    let mut optimiser = optimisers().get(name)?.build(&options, &builder.params())?;
    let gradients = tcmax_ops::backward(&(&p * 2.0)?.sum_all()?)?;
    Ok(Box::new(move || Ok(optimiser.step(&gradients)?)))
}

/// What `tcmax estimate` does for each seed, except that it never stops early.
fn estimator_fit(
    estimator: &'static EstimatorSpec,
    variables: usize,
) -> tcmax_encoders::Result<Work> {
    const ROWS: usize = 10_000;
    let wrap = candle_core::Error::wrap;
    let common = random("common", &[ROWS])?.to_vec1::<f32>()?;
    let mut columns = Vec::new();
    for name in ["x", "y", "z"].iter().take(variables) {
        let own = random(name, &[ROWS])?.to_vec1::<f32>()?;
        let values = common.iter().zip(own).map(|(c, e)| f64::from(0.8 * c + 0.6 * e));
        columns.push(Variable::continuous(*name, values.collect(), 1).map_err(wrap)?);
    }
    let sample = Sample::new(columns).map_err(wrap)?;
    let config =
        FitConfig { estimator, steps: FIT_STEPS, patience: FIT_STEPS, ..Default::default() };
    let config = config.check().map_err(wrap)?;
    Ok(Box::new(move || {
        fit(&sample, &config, Seed::new(0)).map_err(wrap)?;
        Ok(())
    }))
}
