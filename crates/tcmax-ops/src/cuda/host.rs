//! The kernels on the host, beside the operations of this crate.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use candle_core::{DType, Device, Tensor, Var};

use crate::activation::Gelu;
use crate::composed::batch_norm::batch_norm;
use crate::composed::dropout::Chances;
use crate::cuda::plan::{self, Number, Part, Plan, Update};
use crate::ops::dropout::dropout;
use crate::ops::gelu::gelu;
use crate::ops::layer_norm::layer_norm;
use crate::ops::log_sum_exp::log_sum_exp;
use crate::ops::max_pool2d::{MaxPool2dConfig, max_pool2d};
use crate::ops::relu::relu;
use crate::ops::softmax::softmax;
use crate::training::init::Init;
use crate::training::optimise::adam::AdamOptions;
use crate::training::optimise::adamw::AdamWOptions;
use crate::training::optimise::kernel::Kernel;
use crate::training::optimise::optimiser::Optimiser;
use crate::training::optimise::rule::{Pace, Rule};
use crate::training::optimise::sgd::SgdOptions;
use crate::training::params::ParamBuilder;
use crate::training::seed::Seed;
use crate::wide::to_vec_f64;

/// The kernels' program, running.
struct Host {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

/// Element types, and how far results may be from those in f64, in parts of the largest.
const TYPES: [(&str, f64); 3] = [("f64", 1e-12), ("f32", 2e-5), ("bf16", 2e-2)];

impl Host {
    /// Compiles the kernels. None where there is no compiler, but for runs of all checks.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("kernels");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda/host.cpp");
        let compiled = Command::new("c++")
            .args(["-std=c++17", "-O1", "-o"])
            .args([&program, &source])
            .status();
        match compiled {
            Ok(status) => assert!(status.success(), "the kernels do not compile"),
            Err(_) if std::env::var_os("CI").is_none() => return None,
            Err(error) => panic!("a C++ compiler is needed: {error}"),
        }
        let mut child =
            Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, requests, answers, _folder: folder })
    }

    /// The values of the last tensor, the result, of `count` values, after a launch on some inputs.
    fn launch(
        &mut self,
        plan: &Plan,
        of: &str,
        inputs: &[(&str, &[f64])],
        count: usize,
    ) -> Vec<f64> {
        let zeros = vec![0.0; count];
        let result = if of == "wide" { inputs[0].0 } else { of };
        let buffers = [inputs, &[(result, &zeros)]].concat();
        let all = self.run(plan, inputs[0].0, &buffers);
        all[all.len() - count..].to_vec()
    }

    /// The values of all tensors after a launch.
    fn run(&mut self, plan: &Plan, name: &str, buffers: &[(&str, &[f64])]) -> Vec<f64> {
        let Plan { kernel, blocks, threads, numbers } = plan;
        let mut request =
            format!("{kernel}_{name} {} {} {} {}", blocks[0], blocks[1], threads[0], threads[1]);
        for (of, values) in buffers {
            request += &format!(" {of} {}", values.len());
            for value in *values {
                request += &format!(" {value:e}");
            }
        }
        for number in numbers {
            match number {
                Number::Size(size) => request += &format!(" size {size}"),
                Number::Real(real) => request += &format!(" number {real:e}"),
            }
        }
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let values: Vec<f64> = line.split_whitespace().map(|v| v.parse().unwrap()).collect();
        assert_eq!(values.len(), buffers.iter().map(|(_, values)| values.len()).sum::<usize>());
        values
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What sums and statistics are computed in.
fn wide(of: &str) -> &str {
    if of == "bf16" { "f32" } else { of }
}

/// Random values, of which a half has exactly the digits that every type holds.
fn random(seed: u64, count: usize) -> Vec<f64> {
    let init = Init::Normal { mean: 0.0, std: 1.0 };
    let tensor = init.tensor(&count.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap();
    // Multiples of 1/16 are the same in bf16.
    to_vec_f64(&tensor).unwrap().into_iter().map(|x| (x * 16.0).round() / 16.0).collect()
}

fn var(values: &[f64], shape: &[usize]) -> Var {
    Var::from_tensor(&Tensor::from_slice(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// The value of an operation and its gradients, given that of the value.
fn with_gradients(vars: &[&Var], y: &Tensor, g: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let g = Tensor::from_slice(g, y.shape(), &Device::Cpu).unwrap();
    let grads = (y * g).unwrap().sum_all().unwrap().backward().unwrap();
    let of = |var: &&Var| to_vec_f64(grads.get(var.as_tensor()).unwrap()).unwrap();
    (to_vec_f64(y).unwrap(), vars.iter().map(of).collect())
}

#[track_caller]
fn assert_close(got: &[f64], wanted: &[f64], limit: f64) {
    assert_eq!(got.len(), wanted.len());
    let size = wanted.iter().fold(1.0f64, |size, value| size.max(value.abs()));
    for (number, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let same = (got - wanted).abs() <= limit * size || got == wanted;
        assert!(same, "value {number}: {got}, wanted {wanted}");
    }
}

/// One test, because compiling takes longer than running.
#[test]
fn kernels_compute_what_the_operations_do() {
    let Some(mut host) = Host::start() else { return };
    softmax_of_rows(&mut host);
    log_sum_exp_of_rows_and_columns(&mut host);
    log_sum_exp_of_nothing_but_minus_infinity_is_that(&mut host);
    layer_norm_of_rows(&mut host);
    batch_norm_with_residual_and_relu(&mut host);
    normalised_without_residual_or_relu(&mut host);
    maxima_over_windows(&mut host);
    gaussian_error_linear_units(&mut host);
    rectified_and_biased(&mut host);
    dropped_as_on_the_host(&mut host);
    steps_of_optimisers(&mut host);
    half_precision_rounds_to_the_nearest(&mut host);
}

fn softmax_of_rows(host: &mut Host) {
    for [rows, n] in [[3, 1], [2, 5], [3, 300]] {
        let mut x = random(1, rows * n);
        x[0] += 1000.0;
        let (g, var) = (random(2, rows * n), var(&x, &[rows, n]));
        let y = softmax(var.as_tensor()).unwrap();
        let (y, dx) = with_gradients(&[&var], &y, &g);
        for (of, limit) in TYPES {
            let plan = plan::by_row("softmax", [rows, n], None);
            assert_close(&host.launch(&plan, of, &[(of, &x)], x.len()), &y, limit);
            let plan = plan::by_row("softmax_gradient", [rows, n], None);
            let got = host.launch(&plan, of, &[(of, &y), (of, &g)], x.len());
            assert_close(&got, &dx[0], limit);
        }
    }
}

fn log_sum_exp_of_rows_and_columns(host: &mut Host) {
    for shape in [[1, 40, 70], [6, 300, 1], [2, 7, 33], [1, 1, 1]] {
        let count = shape.iter().product();
        let mut x = random(3, count);
        if count > 1 {
            x[0] = f64::NEG_INFINITY;
        }
        x[count - 1] += 900.0;
        let (g, var) = (random(4, shape[0] * shape[2]), var(&x, &shape));
        let y = log_sum_exp(var.as_tensor(), 1).unwrap();
        let (y, dx) = with_gradients(&[&var], &y, &g);
        for (of, limit) in TYPES {
            let got = host.launch(&plan::log_sum_exp(shape), of, &[(of, &x)], g.len());
            assert_close(&got, &y, limit);
            let inputs = [(of, &x[..]), (of, &got), (of, &g)];
            let got = host.launch(&plan::log_sum_exp_gradient(shape), of, &inputs, count);
            // An exponential of a rounded result has its error times the result.
            assert_close(&got, &dx[0], limit * if of == "f64" { 100.0 } else { 50.0 });
        }
    }
}

fn log_sum_exp_of_nothing_but_minus_infinity_is_that(host: &mut Host) {
    let x = [f64::NEG_INFINITY; 300];
    let got = host.launch(&plan::log_sum_exp([1, 300, 1]), "f32", &[("f32", &x)], 1);
    assert_eq!(got, [f64::NEG_INFINITY]);
}

fn layer_norm_of_rows(host: &mut Host) {
    for [rows, n] in [[5, 70], [150, 3]] {
        let (x, g) = (random(5, rows * n), random(6, rows * n));
        let (weight, bias) = (random(7, n), random(8, n));
        let vars = [var(&x, &[rows, n]), var(&weight, &[n]), var(&bias, &[n])];
        let [x_var, weight_var, bias_var] = vars.each_ref().map(Var::as_tensor);
        let y = layer_norm(x_var, weight_var, bias_var, 1e-5).unwrap();
        let (y, gradients) = with_gradients(&[&vars[0], &vars[1], &vars[2]], &y, &g);
        for (of, limit) in TYPES {
            let row = |kernel| plan::by_row(kernel, [rows, n], Some(1e-5));
            let inputs = [(of, &x[..]), (of, &weight), (of, &bias)];
            assert_close(&host.launch(&row("layer_norm"), of, &inputs, x.len()), &y, limit);
            let inputs = [(of, &x[..]), (of, &weight), (of, &g)];
            let got = host.launch(&row("layer_norm_gradient"), of, &inputs, x.len());
            assert_close(&got, &gradients[0], limit);
            let along =
                host.launch(&row("layer_norm_weighted"), of, &[(of, &x), (of, &g)], x.len());
            for (values, wanted) in [(&along, &gradients[1]), (&g, &gradients[2])] {
                let got = column_sum(host, of, values, [rows, n]);
                assert_close(&got, wanted, limit);
            }
        }
    }
}

/// The sums of the columns.
fn column_sum(host: &mut Host, of: &str, values: &[f64], shape: [usize; 2]) -> Vec<f64> {
    let (count, wide) = (plan::parts(shape[0]) * shape[1], wide(of));
    let plan = plan::by_column("column_sum", shape);
    let buffers = [(of, values), (wide, &vec![0.0; count][..])];
    let parts = host.run(&plan, of, &buffers).split_off(values.len());
    let merged = plan::merged("merged_sums", shape, Some(1));
    host.launch(&merged, wide, &[(wide, &parts)], shape[1])
}

fn batch_norm_with_residual_and_relu(host: &mut Host) {
    for ([rows, channels], given) in [([50, 40], false), ([700, 3], false), ([50, 3], true)] {
        let shape = [1, 1, rows, channels];
        let x: Vec<f64> = random(9, rows * channels).iter().map(|x| x + 3.0).collect();
        let (residual, g) = (random(10, x.len()), random(11, x.len()));
        let (weight, bias) = (random(12, channels), random(13, channels));
        let vars = [
            var(&x, &shape),
            var(&weight, &[channels]),
            var(&bias, &[channels]),
            var(&residual, &shape),
        ];
        let [x_var, weight_var, bias_var, residual_var] = vars.each_ref().map(Var::as_tensor);
        let statistics = given
            .then(|| [1.5, 2.5].map(|value| Tensor::full(value, channels, &Device::Cpu).unwrap()));
        let wanted = statistics.as_ref().map(|[mean, var]| [mean, var]);
        let (y, found) = batch_norm(x_var, [weight_var, bias_var], 1e-5, wanted).unwrap();
        let y = relu(&(y + residual_var).unwrap()).unwrap();
        let (y, gradients) = with_gradients(&vars.each_ref(), &y, &g);
        let found: Vec<f64> = found.iter().flat_map(|t| to_vec_f64(t).unwrap()).collect();
        let parameters = [&weight[..], &bias].concat();
        for (of, limit) in TYPES {
            let wide = wide(of);
            let mut statistics = found.clone();
            if !given {
                let parts = 3 * plan::parts(rows) * channels;
                let plan = plan::by_column("column_moments", [rows, channels]);
                let buffers = [(of, &x[..]), (wide, &vec![0.0; parts])];
                let parts = host.run(&plan, of, &buffers).split_off(x.len());
                let merged = plan::merged("merged_moments", [rows, channels], None);
                statistics = host.launch(&merged, wide, &[(wide, &parts)], 2 * channels);
                assert_close(&statistics, &found, limit);
            }
            let eps = Number::Real(1e-5);
            let plan = plan::by_value("norm_affine", channels, &[eps]);
            let inputs = [(wide, &statistics[..]), (wide, &parameters)];
            let affine = host.launch(&plan, wide, &inputs, 3 * channels);
            let others = [Number::Size(channels), Number::Size(1)];
            let plan = plan::by_value("normalise_residual", x.len(), &others);
            let inputs = [(of, &x[..]), (wide, &affine), (of, &residual)];
            let got = host.launch(&plan, of, &inputs, x.len());
            assert_close(&got, &y, limit);

            let plan = plan::by_value("relu_gradient", x.len(), &[]);
            let masked = host.launch(&plan, of, &[(of, &y), (of, &g)], x.len());
            assert_close(&masked, &gradients[3], limit);
            let parts = 2 * plan::parts(rows) * channels;
            let plan = plan::by_column("column_sums", [rows, channels]);
            let mean = &statistics[..channels];
            let buffers = [(of, &masked[..]), (of, &x), (wide, mean), (wide, &vec![0.0; parts])];
            let all = host.run(&plan, of, &buffers);
            let parts = &all[all.len() - parts..];
            let merged = plan::merged("merged_sums", [rows, channels], Some(2));
            let sums = host.launch(&merged, wide, &[(wide, parts)], 2 * channels);
            let others = [Number::Size(rows), Number::Size(usize::from(given)), eps];
            let plan = plan::by_value("norm_gradients", channels, &others);
            let inputs = [(wide, &statistics[..]), (wide, &parameters), (wide, &sums)];
            let all = host.launch(&plan, wide, &inputs, 6 * channels);
            assert_close(&all[4 * channels..5 * channels], &gradients[1], limit);
            assert_close(&all[5 * channels..], &gradients[2], limit);
            let plan = plan::by_value("normalise_gradient", x.len(), &[Number::Size(channels)]);
            let inputs = [(of, &masked[..]), (of, &x), (wide, &all)];
            let got = host.launch(&plan, of, &inputs, x.len());
            assert_close(&got, &gradients[0], limit);
        }
    }
}

fn normalised_without_residual_or_relu(host: &mut Host) {
    let (x, affine) = (random(14, 12), random(15, 9));
    for (relu, of) in [(0, "f64"), (1, "f64"), (1, "f32")] {
        let others = [Number::Size(3), Number::Size(relu)];
        let plan = plan::by_value("normalise", 12, &others);
        let got = host.launch(&plan, of, &[(of, &x), (of, &affine)], 12);
        let value = |(i, x): (usize, &f64)| {
            let y = affine[i % 3] * (x - affine[3 + i % 3]) + affine[6 + i % 3];
            if relu == 1 { y.max(0.0) } else { y }
        };
        let wanted: Vec<f64> = x.iter().enumerate().map(value).collect();
        assert_close(&got, &wanted, 1e-6);
    }
}

fn maxima_over_windows(host: &mut Host) {
    for (image, kernel, stride, padding) in [
        ((7, 9), (3, 3), (2, 2), (1, 1)),
        ((5, 4), (2, 3), (1, 1), (0, 1)),
        ((6, 6), (2, 2), (3, 3), (0, 0)),
    ] {
        let config = MaxPool2dConfig { kernel, stride, padding };
        let window = config.window(image).unwrap();
        let shape = [2, image.0, image.1, 3];
        // Few values: many are equal.
        let mut x: Vec<f64> =
            random(16, shape.iter().product()).iter().map(|x| x.round()).collect();
        x[4] = f64::NEG_INFINITY;
        let var = var(&x, &shape);
        let y = max_pool2d(var.as_tensor(), config).unwrap();
        let g = random(17, y.elem_count());
        let (y, dx) = with_gradients(&[&var], &y, &g);
        for (of, limit) in TYPES {
            let plan = plan::windows("max_pool", y.len(), &window, 3);
            assert_eq!(host.launch(&plan, of, &[(of, &x)], y.len()), y);
            let plan = plan::windows("max_pool_gradient", x.len(), &window, 3);
            let got = host.launch(&plan, of, &[(of, &x), (of, &g)], x.len());
            assert_close(&got, &dx[0], limit);
        }
    }
}

fn gaussian_error_linear_units(host: &mut Host) {
    let (x, g) = (random(18, 300), random(19, 300));
    for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
        let var = var(&x, &[300]);
        let y = gelu(var.as_tensor(), form).unwrap();
        let (y, dx) = with_gradients(&[&var], &y, &g);
        for (of, limit) in TYPES {
            // Our own error function has 7 digits in f32 only.
            let got = host.launch(&plan::gelu("gelu", 300, form), of, &[(of, &x)], 300);
            assert_close(&got, &y, limit);
            let plan = plan::gelu("gelu_gradient", 300, form);
            assert_close(&host.launch(&plan, of, &[(of, &x), (of, &g)], 300), &dx[0], limit);
        }
    }
}

fn rectified_and_biased(host: &mut Host) {
    let [rows, n] = [70, 5];
    let (mut x, bias, g) = (random(30, rows * n), random(31, n), random(32, rows * n));
    let vars = [var(&x, &[rows, n]), var(&bias, &[n])];
    let y = vars[0].broadcast_add(vars[1].as_tensor()).unwrap();
    let (y, gradients) = with_gradients(&vars.each_ref(), &y, &g);
    for (of, limit) in TYPES {
        let plan = plan::by_value("add_bias", x.len(), &[Number::Size(n)]);
        assert_close(&host.launch(&plan, of, &[(of, &x), (of, &bias)], x.len()), &y, limit);
        assert_close(&column_sum(host, of, &g, [rows, n]), &gradients[1], limit);
    }
    x[3] = f64::NAN;
    let wanted = to_vec_f64(&relu(var(&x, &[x.len()]).as_tensor()).unwrap()).unwrap();
    for (of, _) in TYPES {
        let got = host.launch(&plan::by_value("relu", x.len(), &[]), of, &[(of, &x)], x.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!(got == wanted || got.is_nan() && wanted.is_nan(), "{got} {wanted}");
        }
    }
}

fn dropped_as_on_the_host(host: &mut Host) {
    // More than one thread draws, and the last does not need all of its numbers.
    let x = vec![1.0; 16 * 300 + 7];
    for (rate, seed) in [(0.3, Seed::new(4)), (0.9, Seed::new(5).stream("other"))] {
        let tensor = Tensor::from_slice(&x, x.len(), &Device::Cpu).unwrap();
        let wanted = to_vec_f64(&dropout(&tensor, rate, seed).unwrap()).unwrap();
        let chances = Chances::of(rate).unwrap().unwrap();
        for (of, limit) in TYPES {
            let got = host.launch(&plan::dropout(x.len(), chances, seed), of, &[(of, &x)], x.len());
            assert_close(&got, &wanted, limit);
            assert!(got.iter().zip(&wanted).all(|(got, wanted)| (*got == 0.0) == (*wanted == 0.0)));
        }
    }
}

/// Three steps of an optimiser, beside those of its kernels.
fn check_steps<R: Rule>(host: &mut Host, rule: &R) {
    const COUNT: usize = 300;
    let start = random(20, COUNT);
    for (of, limit) in &TYPES[..2] {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let p = builder.param("p", COUNT, Init::Const(0.0)).unwrap();
        let params = builder.params();
        let (_, var) = params.trainable().next().unwrap();
        var.set(&Tensor::from_slice(&start, COUNT, &Device::Cpu).unwrap()).unwrap();
        let mut optimiser = Optimiser::<R>::new(&params, rule.clone()).unwrap();
        let mut value = start.clone();
        let mut running = vec![vec![0.0; COUNT]; rule.running().len()];
        for step in 1..=3 {
            let gradient = random(20 + step, COUNT);
            let g = Tensor::from_slice(&gradient, COUNT, &Device::Cpu).unwrap();
            optimiser.step(&(&p * g).unwrap().sum_all().unwrap().backward().unwrap()).unwrap();
            let (learning_rate, weight_decay) = (rule.learning_rate(), rule.weight_decay());
            let kernel = rule.kernel(Pace { steps: step, learning_rate, weight_decay });
            let updates = kernel.updates(COUNT, running.len());
            assert!(!updates.is_empty());
            for Update { plan, tensors } in updates {
                let buffers = tensors.map(|part| match part {
                    Part::Value => (*of, &value[..]),
                    Part::Gradient => (*of, &gradient[..]),
                    Part::Running(number) => (*of, &running[number][..]),
                });
                let after = host.run(&plan, of, &buffers)[..COUNT].to_vec();
                match tensors[0] {
                    Part::Value => value = after,
                    Part::Running(number) => running[number] = after,
                    Part::Gradient => panic!("a gradient is not changed"),
                }
            }
            assert_close(&value, &to_vec_f64(&p).unwrap(), *limit);
        }
    }
}

fn steps_of_optimisers(host: &mut Host) {
    let sgd = SgdOptions { weight_decay: 0.01, dampening: 0.2, ..SgdOptions::default() };
    check_steps(host, &sgd);
    check_steps(host, &SgdOptions { nesterov: true, dampening: 0.0, ..sgd });
    check_steps(host, &AdamOptions { weight_decay: 0.1, ..AdamOptions::default() });
    check_steps(host, &AdamOptions { weight_decay: 0.0, ..AdamOptions::default() });
    check_steps(host, &AdamWOptions { weight_decay: 0.1, ..AdamWOptions::default() });
    let kernel = AdamOptions::default();
    let pace = Pace { steps: 1, learning_rate: 0.1, weight_decay: 0.0 };
    assert!(kernel.kernel(pace).updates(4, 3).is_empty(), "AMSGrad has no kernel");
}

fn half_precision_rounds_to_the_nearest(host: &mut Host) {
    let above_1 = |parts: f64| 1.0 + parts / 512.0;
    let g = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0].map(above_1);
    let plan = plan::by_value("relu_gradient", g.len(), &[]);
    let got = host.launch(&plan, "bf16", &[("bf16", &g), ("bf16", &g)], g.len());
    // Neighbours are 4 parts apart; of two equally near the one with a last digit of 0 is taken.
    assert_eq!(got, [0.0, 0.0, 4.0, 4.0, 8.0, 8.0].map(above_1));
    let nan = host.launch(&plan, "bf16", &[("bf16", &g), ("bf16", &[f64::NAN; 6])], g.len());
    assert!(nan.iter().all(|value| value.is_nan()));
}
