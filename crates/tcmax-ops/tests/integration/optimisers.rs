//! Every optimiser agrees with PyTorch's after each of the recorded steps, some of which lack the gradients of
//! some parameters; and goes on from a saved state with the same bits.

use std::collections::HashMap;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{
    AnyOptimiser, GroupOptions, Init, ParamBuilder, Params, Seed, State, backward, clip_grad_norm,
    optimisers, to_vec_f64,
};
use tcmax_registry::Table;

/// A recorded run: its file, the optimiser and its options.
fn runs() -> Vec<(&'static str, &'static str, Table)> {
    let sgd = |text: &str| {
        let plain = "learning-rate = 0.02\nmomentum = 0.0\nweight-decay = 0.0".parse::<Table>();
        let mut options = plain.unwrap();
        options.extend(text.parse::<Table>().unwrap());
        options
    };
    let adam = |text: &str| format!("learning-rate = 0.02\n{text}").parse::<Table>().unwrap();
    vec![
        ("optim_sgd", "sgd", sgd("")),
        ("optim_sgd_clip", "sgd", sgd("momentum = 0.9")),
        ("optim_sgd_dampening", "sgd", sgd("momentum = 0.8\ndampening = 0.3")),
        ("optim_sgd_momentum_l2", "sgd", sgd("momentum = 0.9\nweight-decay = 0.05")),
        ("optim_sgd_nesterov", "sgd", sgd("momentum = 0.9\nweight-decay = 0.05\nnesterov = true")),
        ("optim_adam", "adam", adam("")),
        (
            "optim_adam_l2",
            "adam",
            adam("beta1 = 0.85\nbeta2 = 0.98\neps = 1e-6\nweight-decay = 0.05"),
        ),
        ("optim_adamw", "adamw", adam("weight-decay = 0.05")),
        ("optim_adamw_amsgrad", "adamw", adam("weight-decay = 0.05\namsgrad = true")),
        (
            "optim_adamw_b2_eps",
            "adamw",
            adam("beta1 = 0.8\nbeta2 = 0.95\neps = 1e-3\nweight-decay = 0.3"),
        ),
        ("optim_adamw_groups_sched", "adamw", adam("weight-decay = 0.05\ndecay-vectors = false")),
    ]
}

/// The largest norm of `optim_sgd_clip`.
const LARGEST_NORM: f64 = 1.5;

/// A file of recorded numbers, and parameters that start as its.
struct Run {
    tensors: HashMap<String, Tensor>,
    params: Params,
    dtype: DType,
}

impl Run {
    fn read(name: &str, dtype: DType) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{name}.safetensors"));
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let builder = ParamBuilder::new(Seed::new(0), dtype, &Device::Cpu);
        let mut start = State::new();
        for number in 0.. {
            let Some(value) = tensors.get(&format!("input.p{number}")) else { break };
            builder.param(&format!("p{number}"), value.shape().clone(), Init::Const(0.0)).unwrap();
            start.insert(format!("p{number}"), value.clone());
        }
        let params = builder.params();
        params.load(&start).unwrap();
        Self { tensors, params, dtype }
    }

    fn steps(&self) -> usize {
        self.tensors["input.lr"].elem_count()
    }

    fn rate(&self, step: usize) -> f64 {
        to_vec_f64(&self.tensors["input.lr"]).unwrap()[step]
    }

    /// The gradients of a step: those of the sum of parameters times gradients.
    fn gradients(&self, step: usize) -> GradStore {
        let present = to_vec_f64(&self.tensors["input.present"].get(step).unwrap()).unwrap();
        let mut sum = Tensor::zeros((), self.dtype, &Device::Cpu).unwrap();
        for ((name, var), present) in self.params.trainable().zip(present) {
            if present != 0.0 {
                let gradient = self.tensors[&format!("input.grad.{name}")].get(step).unwrap();
                let gradient = gradient.to_dtype(self.dtype).unwrap();
                let product = (var.as_tensor() * gradient).unwrap().sum_all().unwrap();
                sum = (sum + product).unwrap();
            }
        }
        backward(&sum).unwrap()
    }

    /// The largest error of any parameter after a step, relative to its largest value or 1.
    fn error(&self, step: usize) -> f64 {
        let error = |(name, var): (&str, &Var)| {
            let wanted = self.tensors[&format!("output.{name}")].get(step).unwrap();
            relative_error(var.as_tensor(), &wanted)
        };
        self.params.trainable().map(error).fold(0.0, f64::max)
    }
}

fn relative_error(got: &Tensor, wanted: &Tensor) -> f64 {
    let (got, wanted) = (to_vec_f64(got).unwrap(), to_vec_f64(wanted).unwrap());
    assert_eq!(got.len(), wanted.len());
    let scale = wanted.iter().fold(1f64, |scale, value| scale.max(value.abs()));
    let gaps = got.iter().zip(&wanted).map(|(got, wanted)| (got - wanted).abs());
    // A NaN is no agreement.
    gaps.fold(0f64, |worst, gap| if gap.is_nan() { f64::INFINITY } else { worst.max(gap) }) / scale
}

fn built(run: &Run, name: &str, options: &Table) -> Box<dyn AnyOptimiser> {
    optimisers().get(name).unwrap().build(options, &run.params).unwrap()
}

#[test]
fn every_step_is_that_of_pytorch() {
    for (file, name, options) in runs() {
        for (dtype, limit) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let run = Run::read(file, dtype);
            let mut optimiser = built(&run, name, &options);
            for step in 0..run.steps() {
                let mut gradients = run.gradients(step);
                if file == "optim_sgd_clip" {
                    let norm = clip_grad_norm(&run.params, &mut gradients, LARGEST_NORM).unwrap();
                    let wanted = to_vec_f64(&run.tensors["output.norm"]).unwrap()[step];
                    assert!((norm - wanted).abs() < limit * wanted.max(1.0), "{norm} {wanted}");
                }
                optimiser.set_learning_rate(run.rate(step));
                optimiser.step(&gradients).unwrap();
                let error = run.error(step);
                assert!(error <= limit, "{file}, {dtype:?}, step {step}: {error:e}");
            }
        }
    }
}

/// The recorded state of PyTorch's optimisers by our names.
#[test]
fn running_values_and_steps_are_those_of_pytorch() {
    let ours = [
        ("momentum_buffer", "momentum"),
        ("exp_avg", "mean"),
        ("exp_avg_sq", "square"),
        ("max_exp_avg_sq", "largest"),
    ];
    let mut compared = 0;
    for (file, name, options) in runs() {
        let run = Run::read(file, DType::F64);
        let mut optimiser = built(&run, name, &options);
        for step in 0..run.steps() {
            let mut gradients = run.gradients(step);
            if file == "optim_sgd_clip" {
                clip_grad_norm(&run.params, &mut gradients, LARGEST_NORM).unwrap();
            }
            optimiser.set_learning_rate(run.rate(step));
            optimiser.step(&gradients).unwrap();
        }
        let state = optimiser.state().unwrap();
        let steps = to_vec_f64(&state["steps"]).unwrap();
        for (number, (parameter, _)) in run.params.trainable().enumerate() {
            for (theirs, ours) in ours {
                let Some(wanted) = run.tensors.get(&format!("output.state.{theirs}.{parameter}"))
                else {
                    continue;
                };
                let error = relative_error(&state[&format!("{ours}.{parameter}")], wanted);
                assert!(error < 1e-12, "{file}, {ours}.{parameter}: {error:e}");
                compared += 1;
            }
            if let Some(wanted) = run.tensors.get(&format!("output.state.step.{parameter}")) {
                assert_eq!(to_vec_f64(wanted).unwrap(), [steps[number]], "{file}, {parameter}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 60, "{compared}");
}

#[test]
fn a_group_without_decay_is_one_of_vectors_that_do_not_decay() {
    let run = Run::read("optim_adamw_groups_sched", DType::F64);
    let options = "learning-rate = 0.02\nweight-decay = 0.05".parse().unwrap();
    let mut optimiser = built(&run, "adamw", &options);
    let group = |prefix: &str| GroupOptions {
        prefix: prefix.to_owned(),
        weight_decay: Some(0.0),
        ..Default::default()
    };
    optimiser.set_groups(&[group("p1"), group("p3")]).unwrap();
    for step in 0..run.steps() {
        optimiser.set_learning_rate(run.rate(step));
        optimiser.step(&run.gradients(step)).unwrap();
        assert!(run.error(step) < 1e-12);
    }
}

#[test]
fn every_optimiser_goes_on_from_its_state_with_the_same_bits() {
    for (file, name, options) in runs() {
        for dtype in [DType::F32, DType::F64] {
            let ends = [None, Some(5)].map(|reloaded| {
                let run = Run::read(file, dtype);
                let mut optimiser = built(&run, name, &options);
                for step in 0..run.steps() {
                    if reloaded == Some(step) {
                        let state = optimiser.state().unwrap();
                        optimiser = built(&run, name, &options);
                        optimiser.load_state(&state).unwrap();
                    }
                    optimiser.set_learning_rate(run.rate(step));
                    optimiser.step(&run.gradients(step)).unwrap();
                }
                run.params.snapshot().unwrap().values().map(bits).collect::<Vec<_>>()
            });
            assert_eq!(ends[0], ends[1], "{file}");
        }
    }
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    to_vec_f64(tensor).unwrap().into_iter().map(f64::to_bits).collect()
}

/// Two parameters of ones, `a.w` and `b.w`.
fn pair() -> (Params, Tensor) {
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let a = builder.pp("a").param("w", (2, 2), Init::Const(1.0)).unwrap();
    let b = builder.pp("b").param("w", 3, Init::Const(1.0)).unwrap();
    (builder.params(), (a.sum_all().unwrap() + b.sum_all().unwrap()).unwrap())
}

fn first(params: &Params) -> [f64; 2] {
    let values: Vec<f64> =
        params.trainable().map(|(_, var)| to_vec_f64(var.as_tensor()).unwrap()[0]).collect();
    [values[0], values[1]]
}

#[test]
fn frozen_parameters_make_no_step_and_go_on_from_where_they_were() {
    let options = "learning-rate = 0.1\nmomentum = 0.5\nweight-decay = 0.0".parse().unwrap();
    let (params, sum) = pair();
    let mut sgd = optimisers().get("sgd").unwrap().build(&options, &params).unwrap();
    let gradients = backward(&sum).unwrap();
    sgd.step(&gradients).unwrap();
    sgd.set_frozen("a", true).unwrap();
    sgd.step(&gradients).unwrap();
    let [a, b] = first(&params);
    assert!((a - 0.9).abs() < 1e-15 && (b - 0.75).abs() < 1e-15);
    assert_eq!(to_vec_f64(&sgd.state().unwrap()["steps"]).unwrap(), [1.0, 2.0]);
    sgd.set_frozen("a", false).unwrap();
    sgd.step(&gradients).unwrap();
    // The momentum is the one before.
    assert!((first(&params)[0] - (0.9 - 0.1 * 1.5)).abs() < 1e-15);
}

#[test]
fn groups_have_rates_of_their_own_and_follow_the_schedule() {
    let options = "momentum = 0.0\nweight-decay = 0.0".parse().unwrap();
    let (params, sum) = pair();
    let mut sgd = optimisers().get("sgd").unwrap().build(&options, &params).unwrap();
    let slow =
        GroupOptions { prefix: "a".to_owned(), rate_factor: Some(0.1), ..Default::default() };
    sgd.set_groups(&[slow]).unwrap();
    sgd.set_learning_rate(0.5);
    sgd.step(&backward(&sum).unwrap()).unwrap();
    assert_eq!(first(&params), [0.95, 0.5]);
    let wrong = GroupOptions { prefix: "c".to_owned(), ..Default::default() };
    let error = sgd.set_groups(&[wrong]).unwrap_err().to_string();
    assert!(error.contains("'c'") && error.ends_with("a, b"), "{error}");
}

#[test]
fn options_are_documented_and_wrong_ones_refused() {
    for spec in optimisers().iter() {
        let documentation = spec.options.documentation();
        assert!(documentation.iter().any(|option| option.name == "learning-rate"));
        assert!(documentation.iter().all(|option| !option.text.is_empty()), "{documentation:?}");
        let error = spec.build(&"learning-rat = 1".parse().unwrap(), &pair().0).unwrap_err();
        assert!(error.to_string().contains("learning-rat"), "{error}");
        assert!(spec.build(&"learning-rate = -1".parse().unwrap(), &pair().0).is_err());
    }
}

#[test]
fn a_state_without_amsgrad_is_not_one_with_it() {
    let (params, sum) = pair();
    let adam = |options: &str| {
        optimisers().get("adam").unwrap().build(&options.parse().unwrap(), &params).unwrap()
    };
    let mut plain = adam("");
    plain.step(&backward(&sum).unwrap()).unwrap();
    let state = plain.state().unwrap();
    let error = adam("amsgrad = true").load_state(&state).unwrap_err().to_string();
    assert!(error.contains("largest.a.w"), "{error}");
}
