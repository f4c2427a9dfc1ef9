//! What holds for every encoder of the list: it trains, all of it, on what it says that it takes.

use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{ENCODERS, Encoder, EncoderSpec, Input, InputKind};
use tcmax_ops::{Adam, AdamOptions, Init, ParamBuilder, Params, Seed};
use tcmax_registry::Table;

/// Options that make a small network.
fn small(spec: &EncoderSpec) -> Table {
    let text = match spec.name {
        "resnet-slim" => "width = 4",
        "resnet18" | "resnet34" | "resnet50" | "mean" => "",
        "vit" => "width = 16\nlayers = 2\nheads = 2\nhidden = 24\npatch = 8\npooling = 'pooler'",
        "vit-torchvision" => "width = 16\nlayers = 2\nheads = 2\nhidden = 24\npatch = 8",
        "clip-image" => "width = 16\nlayers = 2\nheads = 2\nhidden = 24\npatch = 8\nprojection = 6",
        "mlp" => "widths = [12, 7]",
        "gru" | "lstm" => "units = 6\nlayers = 2",
        "temporal-convolution" => "widths = [6, 5]",
        "transformer" => "width = 8\nheads = 2\nhidden = 12",
        "bert" | "roberta" => {
            "width = 16\nlayers = 2\nheads = 2\nhidden = 24\nvocabulary = 40\npositions = 12\n\
             pooling = 'pooler'"
        }
        "distilbert" => {
            "width = 16\nlayers = 2\nheads = 2\nhidden = 24\nvocabulary = 40\npositions = 12"
        }
        "clip-text" => {
            "width = 16\nlayers = 2\nheads = 2\nhidden = 24\nvocabulary = 40\npositions = 12\n\
             projection = 6\nend = 39"
        }
        "causal-text" => {
            "width = 16\nlayers = 2\nheads = 2\nvocabulary = 40\npositions = 12\nprojection = 6"
        }
        other => panic!("no small options for '{other}': add some"),
    };
    spec.options.complete(&text.parse().unwrap()).unwrap()
}

/// Shapes of one example's input that an encoder takes.
pub(crate) fn shapes(spec: &EncoderSpec) -> Vec<(InputKind, Vec<usize>)> {
    let of_kind = |kind: &InputKind| match kind {
        InputKind::Spectrogram => vec![vec![1, 40, 33]],
        // The second is a clip of two frames.
        InputKind::Image => vec![vec![3, 32, 24], vec![2, 2, 32, 32]],
        InputKind::Vector => vec![vec![9]],
        InputKind::Sequence => vec![vec![7, 5]],
        InputKind::Tokens => vec![vec![10]],
    };
    let pairs = spec.inputs.iter().flat_map(|kind| of_kind(kind).into_iter().map(|s| (*kind, s)));
    pairs.collect()
}

/// Five examples of such inputs: sequences and texts of all lengths.
pub(crate) fn examples(kind: InputKind, shape: &[usize], dtype: DType) -> Tensor {
    const EXAMPLES: usize = 5;
    let full: Vec<usize> = [&[EXAMPLES], shape].concat();
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    let x = unit.tensor(&full[..].into(), Seed::new(3), DType::F64, &Device::Cpu).unwrap();
    let mut values: Vec<f64> = x.flatten_all().unwrap().to_vec1().unwrap();
    match kind {
        InputKind::Sequence => {
            for (at, step) in values.chunks_exact_mut(shape[1]).enumerate() {
                let (row, step_number) = (at / shape[0], at % shape[0]);
                let there = step_number < shape[0] - row;
                step[shape[1] - 1] = f64::from(u8::from(there));
            }
        }
        InputKind::Tokens => {
            for (row, tokens) in values.chunks_exact_mut(shape[0]).enumerate() {
                let length = shape[0] - row;
                for (at, id) in tokens.iter_mut().enumerate() {
                    // The last token of a text is the one that ends it.
                    let token = if at + 1 == length { 39 } else { 3 + (7 * at + 5 * row) % 35 };
                    *id = if at < length { token as f64 } else { -1.0 };
                }
            }
        }
        _ => {}
    }
    Tensor::from_vec(values, full, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

pub(crate) fn build(
    spec: &EncoderSpec,
    kind: InputKind,
    shape: &[usize],
    dtype: DType,
) -> (Box<dyn Encoder>, Params) {
    let builder = ParamBuilder::new(Seed::new(1), dtype, &Device::Cpu);
    let encoder = spec.build(&small(spec), Input { kind, shape }, &builder).unwrap();
    let params = builder.params();
    (encoder, params)
}

/// Parameters whose gradient is 0: a softmax does not see the biases of keys, a norm of the batch not those of
/// what it normalises.
pub(crate) fn has_no_gradient(encoder: &str, parameter: &str) -> bool {
    let key = ["key.bias", "k_lin.bias", "k_proj.bias"];
    key.iter().any(|key| parameter.ends_with(key))
        || (encoder == "temporal-convolution"
            && parameter.starts_with("conv")
            && parameter.ends_with("bias"))
}

#[test]
fn every_parameter_gets_a_finite_non_zero_gradient() {
    for spec in ENCODERS {
        for (kind, shape) in shapes(spec) {
            let (encoder, params) = build(spec, kind, &shape, DType::F64);
            let features = encoder.encode(&examples(kind, &shape, DType::F64), true).unwrap();
            assert_eq!(features.dims(), [5, encoder.feature_width()], "{spec:?}");
            if params.num_trainable() == 0 {
                continue;
            }
            let weights = Tensor::arange(0f64, features.elem_count() as f64, &Device::Cpu);
            let weights = weights.unwrap().sin().unwrap().reshape(features.shape()).unwrap();
            let loss = (features * weights).unwrap().sum_all().unwrap();
            let gradients = tcmax_ops::backward(&loss).unwrap();
            for (name, var) in params.trainable() {
                let gradient = gradients.get(var.as_tensor());
                let gradient = gradient.unwrap_or_else(|| panic!("{spec:?}: {name} is cut"));
                let values: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
                assert!(values.iter().all(|x| x.is_finite()), "{spec:?}: {name}");
                let largest = values.iter().fold(0f64, |most, x| most.max(x.abs()));
                assert!(
                    largest > 1e-12 || has_no_gradient(spec.name, name),
                    "{spec:?}: the gradient of {name} is 0"
                );
            }
        }
    }
}

#[test]
fn a_few_steps_lower_a_loss() {
    for spec in ENCODERS {
        for (kind, shape) in shapes(spec).into_iter().take(1) {
            let (encoder, params) = build(spec, kind, &shape, DType::F32);
            if params.num_trainable() == 0 {
                continue;
            }
            let input = examples(kind, &shape, DType::F32);
            let width = encoder.feature_width();
            let head = Init::Normal { mean: 0.0, std: 1.0 / (width as f64).sqrt() };
            let head = head.tensor(&(width, 1).into(), Seed::new(5), DType::F32, &Device::Cpu);
            let head = head.unwrap();
            let wanted =
                Tensor::new(&[[1f32], [-1.0], [1.0], [-1.0], [0.5]], &Device::Cpu).unwrap();
            let options = AdamOptions { learning_rate: 1e-2, ..AdamOptions::default() };
            let mut adam = Adam::new(&params, options).unwrap();
            let mut losses = Vec::new();
            for _ in 0..12 {
                let got = encoder.encode(&input, true).unwrap().matmul(&head).unwrap();
                let loss = (got - &wanted).unwrap().sqr().unwrap().mean_all().unwrap();
                losses.push(loss.to_scalar::<f32>().unwrap());
                adam.step(&tcmax_ops::backward(&loss).unwrap()).unwrap();
            }
            let least = losses.iter().copied().fold(f32::INFINITY, f32::min);
            assert!(least < 0.9 * losses[0], "{spec:?} {shape:?}: {losses:?}");
        }
    }
}

#[test]
fn padding_changes_nothing_where_no_batch_is_normalised() {
    for spec in ENCODERS {
        for (kind, shape) in shapes(spec) {
            let (encoder, _) = build(spec, kind, &shape, DType::F64);
            let input = examples(kind, &shape, DType::F64);
            let padded = match kind {
                // Another padding, and less of it.
                InputKind::Sequence => input.narrow(0, 3, 2).unwrap().narrow(1, 0, 5).unwrap(),
                InputKind::Tokens => input.narrow(0, 3, 2).unwrap().narrow(1, 0, 8).unwrap(),
                _ => continue,
            };
            let all = encoder.encode(&input, false).unwrap().narrow(0, 3, 2).unwrap();
            let few = encoder.encode(&padded.contiguous().unwrap(), false).unwrap();
            let gap = (all - few).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f64>().unwrap() < 1e-12, "{spec:?}");
        }
    }
}

#[test]
fn dropout_draws_anew_each_step_and_what_a_resumed_run_would_draw() {
    let spec = ENCODERS.iter().find(|spec| spec.name == "bert").unwrap();
    let (kind, shape) = (InputKind::Tokens, [10]);
    let input = examples(kind, &shape, DType::F64);
    let values = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (encoder, params) = build(spec, kind, &shape, DType::F64);
    let first = values(encoder.encode(&input, true).unwrap());
    let state = params.snapshot().unwrap();
    let second = values(encoder.encode(&input, true).unwrap());
    assert_ne!(first, second);
    let (resumed, params) = build(spec, kind, &shape, DType::F64);
    params.load(&state).unwrap();
    assert_eq!(values(resumed.encode(&input, true).unwrap()), second);
    let evaluated = values(encoder.encode(&input, false).unwrap());
    assert_eq!(values(encoder.encode(&input, false).unwrap()), evaluated);
}

#[test]
fn shapes_that_an_encoder_does_not_take_are_errors() {
    for spec in ENCODERS {
        for (kind, shape) in shapes(spec) {
            let (encoder, _) = build(spec, kind, &shape, DType::F32);
            for wrong in [vec![2], vec![0, 3, 32, 32], vec![2, 5, 32, 32], vec![1, 900]] {
                let input = Tensor::zeros(&wrong[..], DType::F32, &Device::Cpu).unwrap();
                let same = wrong.len() == shape.len() + 1;
                if !same || wrong[1..] != shape[..] {
                    assert!(encoder.encode(&input, false).is_err(), "{spec:?} {wrong:?}");
                }
            }
        }
    }
}
