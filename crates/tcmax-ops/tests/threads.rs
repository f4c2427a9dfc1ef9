//! Every operation with a kernel, forward and backward, has the same bits for every number of threads.
//!
//! The sizes are such that each pass is cut into several tasks. Bits are compared, so that a sum in another
//! order is noticed.

use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{
    Activation, Adam, AdamOptions, AdamW, AdamWOptions, AverageOptions, BatchNorm2d,
    BatchNormConfig, Conv2dConfig, ConvUnit, Init, Linear, MaxPool2dConfig, ParamBuilder,
    RecurrentCell, Seed, Sgd, SgdOptions, WeightAverage, backward, clip_grad_norm, conv2d,
    global_avg_pool2d, layer_norm, log_sum_exp, log_sum_exp_all, max_pool2d, perceptron,
    quadratic_form, recurrent, relu, softmax, to_vec_f64,
};

const THREADS: [usize; 4] = [1, 2, 3, 7];

/// What is compared: the bits of everything that an operation leaves.
type Bits = Vec<Vec<u64>>;

fn bits(tensor: &Tensor) -> Vec<u64> {
    to_vec_f64(tensor).unwrap().into_iter().map(f64::to_bits).collect()
}

fn random(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let unit = Init::Normal { mean: 0.3, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), dtype, &Device::Cpu).unwrap()
}

const BOTH: [DType; 2] = [DType::F32, DType::F64];

/// Output and gradients of `f` at variables of these shapes.
fn passes_in(
    types: &[DType],
    shapes: &[&[usize]],
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) -> Bits {
    let mut all = Vec::new();
    for &dtype in types {
        let vars: Vec<Var> = shapes
            .iter()
            .zip(1..)
            .map(|(shape, seed)| Var::from_tensor(&random(seed, shape, dtype)).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = f(&tensors).unwrap();
        let weights = random(0, y.dims(), dtype);
        let gradients = backward(&(&y * weights).unwrap().sum_all().unwrap()).unwrap();
        all.push(bits(&y));
        all.extend(tensors.iter().map(|tensor| bits(gradients.get(tensor).unwrap())));
    }
    all
}

fn passes(shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>) -> Bits {
    passes_in(&BOTH, shapes, f)
}

/// Runs `f` in pools of several sizes and compares.
fn assert_same(what: &str, f: impl Fn() -> Bits + Sync) {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&f)
    };
    let wanted = run(THREADS[0]);
    assert!(wanted.iter().flatten().any(|value| *value != 0), "{what} computes nothing");
    for threads in &THREADS[1..] {
        // Not `assert_eq`, which would print megabytes.
        assert!(run(*threads) == wanted, "{what}: {threads} threads give other bits than one");
    }
}

/// Input, weight, stride and padding, one for each way in which a convolution is computed.
type Convolution = (&'static str, [usize; 4], [usize; 4], (usize, usize), (usize, usize));

const CONVOLUTIONS: [Convolution; 10] = [
    ("Winograd at once", [2, 8, 9, 40], [3, 3, 40, 70], (1, 1), (1, 1)),
    ("Winograd in bands", [7, 13, 22, 18], [3, 3, 18, 70], (1, 1), (1, 1)),
    ("Winograd, one large image", [1, 56, 60, 16], [3, 3, 16, 33], (1, 1), (1, 1)),
    ("by batch", [9, 4, 5, 36], [3, 3, 36, 70], (2, 2), (1, 1)),
    ("by batch, one pixel", [12, 1, 1, 33], [3, 3, 33, 70], (1, 1), (1, 1)),
    ("pointwise", [3, 6, 8, 20], [1, 1, 20, 70], (1, 1), (0, 0)),
    ("pointwise, strided", [3, 12, 17, 20], [1, 1, 20, 70], (2, 2), (0, 0)),
    ("implicit, strided", [13, 17, 15, 3], [3, 3, 3, 37], (2, 1), (1, 1)),
    ("implicit, whole panels", [3, 17, 15, 3], [3, 3, 3, 64], (2, 2), (1, 1)),
    ("stem", [2, 33, 38, 1], [7, 7, 1, 24], (2, 2), (3, 3)),
];

#[test]
fn of_convolutions() {
    for (what, x, w, stride, padding) in CONVOLUTIONS {
        let config = Conv2dConfig { stride, padding };
        // In f64 there is one way for all.
        let types = if what == "stem" { &BOTH[..] } else { &BOTH[..1] };
        assert_same(what, || passes_in(types, &[&x, &w], |t| conv2d(&t[0], &t[1], config)));
    }
}

/// Output, all gradients and running statistics of a unit around a batch norm, in f32 and f64.
fn unit(
    train: bool,
    x: &[usize],
    w: &[usize],
    residual: Option<&[usize]>,
    f: impl Fn(&BatchNorm2d, &Tensor, &Tensor, Option<&Tensor>) -> candle_core::Result<Tensor>,
) -> Bits {
    let mut all = Vec::new();
    for dtype in BOTH {
        let builder = ParamBuilder::new(Seed::new(8), dtype, &Device::Cpu);
        let weight_init = Init::Normal { mean: 0.5, std: 1.0 };
        let config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
        let norm = BatchNorm2d::new(&builder, w[3], config).unwrap();
        let var =
            |seed: u64, shape: &[usize]| Var::from_tensor(&random(seed, shape, dtype)).unwrap();
        let (x, w, residual) = (var(1, x), var(2, w), residual.map(|shape| var(3, shape)));
        let y = f(&norm, x.as_tensor(), w.as_tensor(), residual.as_ref().map(Var::as_tensor));
        let y = y.unwrap();
        assert!(train || norm.forward(&y.zeros_like().unwrap(), false).is_ok());
        let weights = random(0, y.dims(), dtype);
        let gradients = backward(&(&y * weights).unwrap().sum_all().unwrap()).unwrap();
        all.push(bits(&y));
        for var in [Some(&x), Some(&w), residual.as_ref()].into_iter().flatten() {
            all.extend(gradients.get(var.as_tensor()).map(bits));
        }
        let params = builder.params();
        all.extend(
            params.trainable().map(|(_, var)| bits(gradients.get(var.as_tensor()).unwrap())),
        );
        all.extend(params.buffers().map(|(_, var)| bits(var.as_tensor())));
    }
    all
}

fn conv_unit(norm: &BatchNorm2d, filters: &Tensor, conv: Conv2dConfig) -> ConvUnit {
    ConvUnit::new(filters.clone(), conv, norm.clone()).unwrap()
}

#[test]
fn of_batch_norm_and_what_is_fused_with_it() {
    let (x, w) = ([6, 17, 23, 20], [3, 3, 20, 40]);
    let conv = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    for train in [true, false] {
        assert_same("batch norm", || {
            unit(train, &[6, 17, 23, 40], &w, None, |norm, x, _, _| norm.forward(x, train))
        });
        assert_same("batch norm, ReLU", || {
            unit(train, &[6, 17, 23, 40], &w, None, |norm, x, _, _| norm.forward_relu(x, train))
        });
        assert_same("convolution, batch norm, residual, ReLU", || {
            unit(train, &x, &w, Some(&[6, 9, 12, 40]), |norm, x, w, residual| {
                conv_unit(norm, w, conv).forward(x, residual, true, train)
            })
        });
        assert_same("Winograd, batch norm, ReLU", || {
            let same = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
            unit(train, &x, &w, None, |norm, x, w, _| {
                conv_unit(norm, w, same).forward(x, None, true, train)
            })
        });
        assert_same("stem", || {
            unit(train, &[3, 40, 39, 3], &[7, 7, 3, 24], None, |norm, x, w, _| {
                conv_unit(norm, w, conv).forward_pooled(x, pool, train)
            })
        });
    }
}

#[test]
fn of_pooling_and_relu() {
    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    let x: &[usize] = &[5, 17, 14, 35];
    assert_same("max pool", || passes(&[x], |t| max_pool2d(&t[0], pool)));
    // Equal values: which of them takes the gradient must not depend on threads either.
    assert_same("max pool with ties", || passes(&[x], |t| max_pool2d(&relu(&t[0])?, pool)));
    assert_same("mean pool", || passes(&[x], |t| global_avg_pool2d(&t[0])));
}

#[test]
fn of_rows() {
    let x: &[usize] = &[7, 300, 37];
    assert_same("softmax", || passes(&[x], |t| softmax(&t[0])));
    assert_same("layer norm", || {
        passes(&[x, &[37], &[37]], |t| layer_norm(&t[0], &t[1], &t[2], 1e-5))
    });
    for dim in [0, 1] {
        assert_same("log-sum-exp", || passes(&[&[1_100, 41]], |t| log_sum_exp(&t[0], dim)));
    }
    assert_same("log-sum-exp of all", || passes(&[&[1_100, 41]], |t| log_sum_exp_all(&t[0])));
}

#[test]
fn of_recurrent_layers() {
    let there: Vec<f32> = (0..20 * 7).map(|i| f32::from(u8::from(i % 5 != 3))).collect();
    let there = Tensor::from_vec(there, (20, 7), &Device::Cpu).unwrap();
    for (cell, gates) in [(RecurrentCell::Gru, 3), (RecurrentCell::Lstm, 4)] {
        let shapes: [&[usize]; 3] = [&[20, 7, gates * 33], &[gates * 33, 33], &[gates * 33]];
        assert_same("recurrent", || {
            passes_in(&BOTH[..1], &shapes, |t| {
                let state = Linear::from_tensors(t[1].clone(), t[2].clone())?;
                let states = recurrent(cell, &t[0], &state, &there, true)?;
                match states.cells {
                    Some(cells) => states.steps + cells.sin()?,
                    None => Ok(states.steps),
                }
            })
        });
    }
}

#[test]
fn of_perceptrons_and_quadratic_forms() {
    for activation in [Activation::Relu, Activation::Squareplus] {
        // The last layer narrow, and not.
        for outputs in [1, 40] {
            let shapes: [&[usize]; 7] =
                [&[3_000, 5], &[64, 5], &[64], &[33, 64], &[33], &[outputs, 33], &[outputs]];
            assert_same("perceptron", || {
                passes(&shapes, |t| {
                    let layers = [(1, 2), (3, 4), (5, 6)]
                        .map(|(w, b)| Linear::from_tensors(t[w].clone(), t[b].clone()).unwrap());
                    perceptron(&t[0], &layers, activation)
                })
            });
        }
    }
    assert_same("quadratic form", || {
        passes(&[&[3_000, 50], &[50, 50]], |t| quadratic_form(&t[0], &t[1]))
    });
}

#[test]
fn of_optimisers() {
    // Several tasks per parameter.
    let step = |update: &mut dyn FnMut(&candle_core::backprop::GradStore), p: &Tensor| {
        for _ in 0..3 {
            let loss = p.sqr().unwrap().sum_all().unwrap();
            update(&backward(&loss).unwrap());
        }
        bits(p)
    };
    for dtype in BOTH {
        let fresh = || {
            let builder = ParamBuilder::new(Seed::new(1), dtype, &Device::Cpu);
            let p = builder.param("p", (300, 400), Init::Normal { mean: 0.0, std: 1.0 }).unwrap();
            (builder.params(), p)
        };
        assert_same("SGD", || {
            let (params, p) = fresh();
            let options =
                SgdOptions { learning_rate: 0.1, weight_decay: 0.01, ..SgdOptions::default() };
            let mut sgd = Sgd::new(&params, options).unwrap();
            let moved = step(&mut |gradients| sgd.step(gradients).unwrap(), &p);
            let state = sgd.state().unwrap();
            std::iter::once(moved).chain(state.values().map(bits)).collect()
        });
        assert_same("AdamW", || {
            let (params, p) = fresh();
            let mut adam = AdamW::new(&params, AdamWOptions::default()).unwrap();
            let moved = step(&mut |gradients| adam.step(gradients).unwrap(), &p);
            let state = adam.state().unwrap();
            std::iter::once(moved).chain(state.values().map(bits)).collect()
        });
        assert_same("Adam with AMSGrad, averaged", || {
            let (params, p) = fresh();
            let options =
                AdamOptions { weight_decay: 0.1, amsgrad: true, ..AdamOptions::default() };
            let mut adam = Adam::new(&params, options).unwrap();
            let mut average = WeightAverage::new(&params, AverageOptions::default()).unwrap();
            let mut update = |gradients: &_| {
                adam.step(gradients).unwrap();
                average.update().unwrap();
            };
            let moved = step(&mut update, &p);
            let states = [adam.state().unwrap(), average.state().unwrap()];
            let states = states.iter().flat_map(|state| state.values().map(bits));
            std::iter::once(moved).chain(states).collect()
        });
        assert_same("clipping", || {
            let (params, p) = fresh();
            let mut gradients = backward(&p.sqr().unwrap().sum_all().unwrap()).unwrap();
            let norm = clip_grad_norm(&params, &mut gradients, 1.0).unwrap();
            vec![vec![norm.to_bits()], bits(gradients.get(&p).unwrap())]
        });
    }
}
