//! Convolution and max pooling against naive double loops, in value and in every gradient, for
//! random shapes; errors instead of panics.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, MaxPool2dConfig, ParamBuilder,
    Seed, conv2d, global_avg_pool2d, gradient_error, layer_norm, log_sum_exp, log_sum_exp_all,
    max_pool2d, softmax,
};

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn largest_gap(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let pairs = flat(a).into_iter().zip(flat(b));
    pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

/// A strided view with the same values: what a layer may be handed after a transpose.
fn non_contiguous(x: &Tensor) -> Tensor {
    let view = x.transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
    let odd = view.dim(1).unwrap() > 1 && view.dim(2).unwrap() > 1;
    assert!(!odd || !view.is_contiguous());
    view
}

#[derive(Clone, Debug)]
struct ConvCase {
    x: Vec<usize>,
    w: Vec<usize>,
    config: Conv2dConfig,
    seed: u64,
}

fn conv_case() -> impl Strategy<Value = ConvCase> {
    let sizes = (1usize..4, 1usize..4, 1usize..4, 1usize..9, 1usize..9);
    let windows = (1usize..5, 1usize..5, 1usize..4, 1usize..4, 0usize..3, 0usize..3);
    (sizes, windows, any::<u64>())
        .prop_map(|((b, c, o, h, w), (kh, kw, sh, sw, ph, pw), seed)| ConvCase {
            x: vec![b, h, w, c],
            w: vec![kh, kw, c, o],
            config: Conv2dConfig { stride: (sh, sw), padding: (ph, pw) },
            seed,
        })
        .prop_filter("the window fits", |case| {
            case.x[1] + 2 * case.config.padding.0 >= case.w[0]
                && case.x[2] + 2 * case.config.padding.1 >= case.w[1]
        })
}

/// (y, dx, dw) of the definition, for an incoming gradient of `g`.
fn naive_conv(case: &ConvCase, x: &Tensor, w: &Tensor, g: &Tensor) -> [Vec<f64>; 3] {
    let (&[batch, height, width, from], &[k_h, k_w, _, to]) = (&case.x[..], &case.w[..]) else {
        panic!("shapes of rank 4");
    };
    let (_, out_h, out_w, _) = g.dims4().unwrap();
    let Conv2dConfig { stride, padding } = case.config;
    let (x, w, g) = (flat(x), flat(w), flat(g));
    let (mut y, mut dx, mut dw) = (vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    for b in 0..batch {
        for (i, j) in (0..out_h).flat_map(|i| (0..out_w).map(move |j| (i, j))) {
            for (u, v) in (0..k_h).flat_map(|u| (0..k_w).map(move |v| (u, v))) {
                let row = (i * stride.0 + u).wrapping_sub(padding.0);
                let column = (j * stride.1 + v).wrapping_sub(padding.1);
                if row >= height || column >= width {
                    continue;
                }
                for (c, o) in (0..from).flat_map(|c| (0..to).map(move |o| (c, o))) {
                    let at_y = ((b * out_h + i) * out_w + j) * to + o;
                    let at_x = ((b * height + row) * width + column) * from + c;
                    let at_w = ((u * k_w + v) * from + c) * to + o;
                    y[at_y] += x[at_x] * w[at_w];
                    dx[at_x] += g[at_y] * w[at_w];
                    dw[at_w] += g[at_y] * x[at_x];
                }
            }
        }
    }
    [y, dx, dw]
}

/// (y, dx, dw) of the op, with a strided input and a strided incoming gradient.
fn op_conv(case: &ConvCase, dtype: DType) -> ([Tensor; 3], [Tensor; 3]) {
    let x = Var::from_tensor(&random(case.seed, &case.x).to_dtype(dtype).unwrap()).unwrap();
    let w = Var::from_tensor(&random(case.seed ^ 1, &case.w).to_dtype(dtype).unwrap()).unwrap();
    let y = conv2d(&non_contiguous(x.as_tensor()), w.as_tensor(), case.config).unwrap();
    let g = random(case.seed ^ 2, y.dims()).to_dtype(dtype).unwrap();
    let loss = (y.transpose(1, 2).unwrap() * g.transpose(1, 2).unwrap()).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    let dx = grads.get(x.as_tensor()).unwrap().clone();
    let dw = grads.get(w.as_tensor()).unwrap().clone();
    ([y, dx, dw], [x.as_tensor().clone(), w.as_tensor().clone(), g])
}

/// As [`conv_case`], with channels and images large enough for every kernel.
fn wide_conv_case() -> impl Strategy<Value = ConvCase> {
    let sizes = (1usize..13, 1usize..41, 1usize..41, 1usize..16, 1usize..16);
    // Half of them 3x3 at stride 1, which has an algorithm of its own.
    let windows = prop_oneof![
        Just((3usize, 3usize, 1usize, 1usize, 1usize, 1usize)),
        (1usize..5, 1usize..5, 1usize..4, 1usize..4, 0usize..3, 0usize..3),
    ];
    (sizes, windows, any::<u64>())
        .prop_map(|((b, c, o, h, w), (kh, kw, sh, sw, ph, pw), seed)| ConvCase {
            x: vec![b, h, w, c],
            w: vec![kh, kw, c, o],
            config: Conv2dConfig { stride: (sh, sw), padding: (ph, pw) },
            seed,
        })
        .prop_filter("the window fits", |case| {
            case.x[1] + 2 * case.config.padding.0 >= case.w[0]
                && case.x[2] + 2 * case.config.padding.1 >= case.w[1]
        })
}

/// The largest error of f32 against f64, relative to the root mean square.
fn single_precision_error(case: &ConvCase) -> f64 {
    let ((single, _), (double, _)) = (op_conv(case, DType::F32), op_conv(case, DType::F64));
    let mut worst = 0.0f64;
    for (single, double) in single.iter().zip(&double) {
        let (single, double) = (flat(single), flat(double));
        let square: f64 = double.iter().map(|value| value * value).sum();
        let root = (square / double.len() as f64).sqrt().max(1e-30);
        for (single, double) in single.iter().zip(&double) {
            worst = worst.max((single - double).abs() / root);
        }
    }
    worst
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn single_precision_follows_double_for_any_shape(case in wide_conv_case()) {
        let error = single_precision_error(&case);
        prop_assert!(error < 3e-5, "{error:e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn convolution_is_its_definition(case in conv_case()) {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-5)] {
            let (got, [x, w, g]) = op_conv(&case, dtype);
            for (got, wanted) in got.iter().zip(naive_conv(&case, &x, &w, &g)) {
                let wanted = Tensor::from_vec(wanted, got.shape(), &Device::Cpu).unwrap();
                let gap = largest_gap(got, &wanted);
                prop_assert!(gap < tolerance, "{dtype:?}: {gap:e}");
            }
        }
    }

    #[test]
    fn max_pooling_is_its_definition(
        (h, w, kh, kw) in (1usize..9, 1usize..9, 1usize..4, 1usize..4),
        (sh, sw, seed) in (1usize..4, 1usize..4, any::<u64>()),
    ) {
        // Some of the few that are taken at a time, all of them, and of the many all and a few more.
        let channels = [2, 8, 19][(seed % 3) as usize];
        let config = MaxPool2dConfig { kernel: (kh, kw), stride: (sh, sw), padding: (kh / 2, kw / 2) };
        prop_assume!(h + 2 * (kh / 2) >= kh && w + 2 * (kw / 2) >= kw);
        // Few values, so that there are ties.
        let x = (random(seed, &[2, h, w, channels]) * 2.0).unwrap().round().unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let y = max_pool2d(&non_contiguous(x.as_tensor()), config).unwrap();
        let g = random(seed ^ 1, y.dims());
        let grads = (&y * &g).unwrap().sum_all().unwrap().backward().unwrap();
        let (mut out, mut dx) = (Vec::new(), vec![0.0; 2 * channels * h * w]);
        let (values, g) = (flat(x.as_tensor()), flat(&g));
        let (_, out_h, out_w, _) = y.dims4().unwrap();
        for (b, i) in (0..2).flat_map(|b| (0..out_h).map(move |i| (b, i))) {
            for (j, c) in (0..out_w).flat_map(|j| (0..channels).map(move |c| (j, c))) {
                let mut best = (f64::NEG_INFINITY, 0);
                for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
                    let row = (i * sh + u).wrapping_sub(kh / 2);
                    let column = (j * sw + v).wrapping_sub(kw / 2);
                    if row < h && column < w {
                        let place = ((b * h + row) * w + column) * channels + c;
                        if values[place] > best.0 {
                            best = (values[place], place);
                        }
                    }
                }
                dx[best.1] += g[out.len()];
                out.push(best.0);
            }
        }
        prop_assert_eq!(flat(&y), out);
        let got = flat(grads.get(x.as_tensor()).unwrap());
        for (got, wanted) in got.iter().zip(&dx) {
            prop_assert!((got - wanted).abs() < 1e-12);
        }
    }
}

/// Input, weight, stride and padding.
type KernelCase = ([usize; 4], [usize; 4], (usize, usize), (usize, usize));

/// Shapes that reach every algorithm for f32: Winograd at once and in bands, with channels that do
/// not fill a panel; rows of windows; images of a few pixels taken by batch; patches; a stem.
const KERNEL_CASES: [KernelCase; 16] = [
    ([2, 8, 8, 32], [3, 3, 32, 32], (1, 1), (1, 1)),
    ([1, 5, 7, 16], [3, 3, 16, 40], (1, 1), (1, 1)),
    ([3, 10, 6, 33], [3, 3, 33, 17], (1, 1), (1, 1)),
    ([2, 37, 30, 24], [3, 3, 24, 20], (1, 1), (1, 1)),
    ([7, 13, 22, 18], [3, 3, 18, 70], (1, 1), (1, 1)),
    ([1, 56, 60, 16], [3, 3, 16, 16], (1, 1), (1, 1)),
    ([2, 13, 9, 40], [3, 3, 40, 24], (2, 2), (1, 1)),
    ([2, 12, 11, 20], [1, 1, 20, 36], (2, 2), (0, 0)),
    ([2, 6, 8, 20], [1, 1, 20, 36], (1, 1), (0, 0)),
    ([9, 4, 5, 36], [3, 3, 36, 20], (2, 2), (1, 1)),
    ([17, 2, 2, 40], [3, 3, 40, 33], (1, 1), (1, 1)),
    ([12, 1, 1, 33], [3, 3, 33, 40], (1, 1), (1, 1)),
    ([2, 33, 18, 1], [7, 7, 1, 24], (2, 2), (3, 3)),
    ([2, 16, 24, 3], [8, 8, 3, 40], (8, 8), (0, 0)),
    ([2, 9, 9, 17], [2, 2, 17, 19], (3, 3), (0, 0)),
    ([1, 20, 9, 17], [3, 1, 17, 19], (1, 2), (2, 0)),
];

#[test]
fn every_algorithm_agrees_with_double_precision() {
    for (seed, (x, w, stride, padding)) in KERNEL_CASES.into_iter().enumerate() {
        let config = Conv2dConfig { stride, padding };
        let case = ConvCase { x: x.to_vec(), w: w.to_vec(), config, seed: seed as u64 };
        let (single, _) = op_conv(&case, DType::F32);
        let (double, _) = op_conv(&case, DType::F64);
        for (what, (single, double)) in ["y", "dx", "dw"].iter().zip(single.iter().zip(&double)) {
            let single = single.to_dtype(DType::F64).unwrap();
            let norm = |t: &Tensor| {
                t.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
            };
            let error = norm(&(single - double).unwrap()) / norm(double);
            assert!(error < 3e-6, "{what} of {case:?}: relative error {error:e}");
        }
    }
}

#[test]
fn fused_units_are_their_parts() {
    let conv = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    for (train, stem) in [(true, false), (false, false), (true, true), (false, true)] {
        let run = |fused: bool| {
            let builder = ParamBuilder::new(Seed::new(8), DType::F64, &Device::Cpu);
            let weight_init = Init::Normal { mean: 0.5, std: 1.0 };
            let config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
            let norm = BatchNorm2d::new(&builder, 5, config).unwrap();
            let x = Var::from_tensor(&random(1, &[2, 12, 7, 3])).unwrap();
            let w = Var::from_tensor(&random(2, &[3, 3, 3, 5])).unwrap();
            let (x_t, w_t) = (x.as_tensor(), w.as_tensor());
            let unit = ConvUnit::new(w_t.clone(), conv, norm.clone()).unwrap();
            let y = match (fused, stem) {
                (true, true) => unit.forward_pooled(x_t, pool, train),
                (true, false) => unit.forward(x_t, None, true, train),
                (false, _) => {
                    let y = conv2d(x_t, w_t, conv).unwrap();
                    let y = norm.forward(&y, train).unwrap().relu().unwrap();
                    if stem { max_pool2d(&y, pool) } else { Ok(y) }
                }
            };
            let y = y.unwrap();
            let g = random(3, y.dims());
            let grads = (&y * g).unwrap().sum_all().unwrap().backward().unwrap();
            let mut all =
                vec![flat(&y), flat(grads.get(x_t).unwrap()), flat(grads.get(w_t).unwrap())];
            for (_, var) in builder.params().trainable() {
                all.push(flat(grads.get(var.as_tensor()).unwrap()));
            }
            all.extend(builder.params().buffers().map(|(_, var)| flat(var.as_tensor())));
            all
        };
        for (fused, parts) in run(true).iter().zip(run(false)) {
            for (fused, part) in fused.iter().zip(parts) {
                assert!((fused - part).abs() < 1e-12, "train {train}, stem {stem}");
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let stem = Conv2dConfig { stride: (2, 2), padding: (3, 3) };
    let error = gradient_error(&[random(1, &[2, 13, 9, 1]), random(2, &[7, 7, 1, 3])], |t| {
        Ok(conv2d(&t[0], &t[1], stem)?.sqr()?.mean_all()?)
    });
    assert!(error.unwrap() < 1e-7);

    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    let error = gradient_error(&[random(3, &[2, 7, 5, 2])], |t| {
        Ok(max_pool2d(&t[0], pool)?.sqr()?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-7);

    let error = gradient_error(&[random(4, &[3, 4])], |t| {
        Ok((log_sum_exp(&t[0], 0)?.sqr()?.sum_all()? + log_sum_exp_all(&t[0])?)?)
    });
    assert!(error.unwrap() < 1e-8);

    let error = gradient_error(&[random(5, &[2, 3, 2, 3])], |t| {
        Ok(global_avg_pool2d(&t[0])?.sqr()?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-8);
}

#[test]
fn batch_norm_gradients_agree_with_finite_differences() {
    let (x, residual) = (random(6, &[3, 4, 3, 2]), random(7, &[3, 4, 3, 2]));
    let filters = random(5, &[3, 3, 2, 2]);
    let same = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
    for train in [true, false] {
        for relu in [true, false] {
            let builder = ParamBuilder::new(Seed::new(8), DType::F64, &Device::Cpu);
            let config = BatchNormConfig {
                weight_init: Init::Normal { mean: 1.0, std: 0.3 },
                ..BatchNormConfig::default()
            };
            let norm = BatchNorm2d::new(&builder, 2, config).unwrap();
            let weights = random(9, &[3, 4, 3, 2]);
            let inputs = [x.clone(), residual.clone(), filters.clone()];
            let error = gradient_error(&inputs, |t| {
                let unit = ConvUnit::new(t[2].clone(), same, norm.clone())?;
                let y = unit.forward(&t[0], Some(&t[1]), relu, train)?;
                Ok((y * &weights)?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-7, "train {train}, relu {relu}");
            let error = gradient_error(std::slice::from_ref(&x), |t| {
                let forward = if relu { BatchNorm2d::forward_relu } else { BatchNorm2d::forward };
                Ok((forward(&norm, &t[0], train)? * &weights)?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-7, "train {train}, relu {relu}");
        }
    }
}

#[test]
fn softmax_and_layer_norm_have_their_gradients() {
    let weights = random(12, &[3, 70, 5]);
    let error =
        gradient_error(
            &[random(10, &[3, 70, 5])],
            |t| Ok((softmax(&t[0])? * &weights)?.sum_all()?),
        );
    assert!(error.unwrap() < 1e-8);

    // More rows than one task takes, and a view that is not contiguous.
    let x = random(11, &[3, 5, 70]);
    let inputs = [x, random(13, &[5]), random(14, &[5])];
    let error = gradient_error(&inputs, |t| {
        let x = t[0].transpose(1, 2)?;
        Ok((layer_norm(&x, &t[1], &t[2], 1e-5)? * &weights)?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-8);

    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let x = random(11, &[3, 70, 5]);
    let (scale, shift) = (random(13, &[5]), random(14, &[5]));
    let norm = layer_norm(&x, &scale, &shift, 1e-5).unwrap();
    let single_norm = layer_norm(&single(&x), &single(&scale), &single(&shift), 1e-5).unwrap();
    assert!(largest_gap(&single_norm, &norm) < 1e-5);
    assert!(largest_gap(&softmax(&single(&x)).unwrap(), &softmax(&x).unwrap()) < 1e-6);
    let wrong = layer_norm(&x, &random(1, &[4]), &shift, 1e-5).unwrap_err();
    assert!(wrong.to_string().contains("[4]"), "{wrong}");
}

#[test]
fn log_sum_exp_of_large_values_is_finite() {
    let x = Tensor::new(&[[1000f64, -1000.0], [-1000.0, -1000.0]], &Device::Cpu).unwrap();
    let var = Var::from_tensor(&x).unwrap();
    let y = log_sum_exp(var.as_tensor(), 1).unwrap();
    assert_eq!(flat(&y), [1000.0, -1000.0 + 2f64.ln()]);
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(grads.get(var.as_tensor()).unwrap()), [1.0, 0.0, 0.5, 0.5]);
}

#[test]
fn wrong_shapes_are_errors_that_show_them() {
    let x = random(1, &[2, 4, 4, 3]);
    let config = Conv2dConfig::default();
    let message = |result: candle_core::Result<Tensor>| result.unwrap_err().to_string();
    assert!(message(conv2d(&x, &random(1, &[3, 3, 2, 2]), config)).contains("[3, 3, 2, 2]"));
    assert!(message(conv2d(&x, &random(1, &[5, 5, 3, 2]), config)).contains("(5, 5)"));
    assert!(message(conv2d(&random(1, &[3, 4]), &x, config)).contains("[3, 4]"));
    let none = Conv2dConfig { stride: (0, 1), padding: (0, 0) };
    assert!(message(conv2d(&x, &random(1, &[3, 3, 3, 2]), none)).contains("(0, 1)"));
    let integers = x.to_dtype(DType::U32).unwrap();
    let weight = random(1, &[3, 3, 3, 2]).to_dtype(DType::U32).unwrap();
    assert!(message(conv2d(&integers, &weight, config)).contains("U32"));
    let wide = MaxPool2dConfig { kernel: (2, 2), stride: (1, 1), padding: (2, 2) };
    assert!(message(max_pool2d(&x, wide)).contains("half"));
    assert!(message(global_avg_pool2d(&random(1, &[3]))).contains("[3]"));
}

#[test]
fn sizes_past_the_address_space_are_errors() {
    let message = |result: candle_core::Result<Tensor>| result.unwrap_err().to_string();
    let x = random(1, &[2, 4, 4, 3]).to_dtype(DType::F32).unwrap();
    let weight = random(1, &[3, 3, 3, 2]).to_dtype(DType::F32).unwrap();
    let far = 1 << 40;
    for padding in [(usize::MAX, 0), (0, usize::MAX / 2), (usize::MAX / 2 + 2, 1), (far, far)] {
        // At a stride as large the output is small, but the padded image is not.
        for stride in [(1, 1), (far, far)] {
            let config = Conv2dConfig { stride, padding };
            let error = message(conv2d(&x, &weight, config));
            assert!(error.contains("too large"), "{padding:?}: {error}");
            let builder = ParamBuilder::new(Seed::new(8), DType::F32, &Device::Cpu);
            let norm = BatchNorm2d::new(&builder, 2, BatchNormConfig::default()).unwrap();
            let unit = ConvUnit::new(weight.clone(), config, norm).unwrap();
            let error = message(unit.forward(&x, None, true, true));
            assert!(error.contains("too large"), "{padding:?}: {error}");
        }
        let pool = MaxPool2dConfig { kernel: (2, 2), stride: (1, 1), padding };
        assert!(message(max_pool2d(&x, pool)).contains("half"));
    }
    let huge = MaxPool2dConfig { kernel: (usize::MAX, 2), stride: (1, 1), padding: (0, 0) };
    assert!(message(max_pool2d(&x, huge)).contains("254"));
    // Steps past the end are no error: there is one window.
    let far = Conv2dConfig { stride: (usize::MAX, usize::MAX), padding: (1, 1) };
    let var = Var::from_tensor(&x).unwrap();
    let y = conv2d(var.as_tensor(), &weight, far).unwrap();
    assert_eq!(y.dims(), [2, 1, 1, 2]);
    let near = Conv2dConfig { stride: (4, 4), padding: (1, 1) };
    assert_eq!(flat(&y), flat(&conv2d(&x, &weight, near).unwrap()));
    assert!(y.sum_all().unwrap().backward().unwrap().get(var.as_tensor()).is_some());
    let far = MaxPool2dConfig { kernel: (2, 2), stride: (usize::MAX, usize::MAX), padding: (1, 1) };
    assert_eq!(max_pool2d(&x, far).unwrap().dims(), [2, 1, 1, 3]);
    let empty = Tensor::zeros((2, 0, 4, 3), DType::F32, &Device::Cpu).unwrap();
    let pool = MaxPool2dConfig { kernel: (2, 2), stride: (1, 1), padding: (1, 1) };
    assert!(message(max_pool2d(&empty, pool)).contains("at least one pixel"));
    let builder = ParamBuilder::new(Seed::new(8), DType::F32, &Device::Cpu);
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    assert!(builder.param("p", (usize::MAX, 2), unit).is_err());
    assert!(builder.filters("f", [1 << 40, 1 << 40, 3, 3], unit).is_err());
    assert!(builder.buffer("b", (usize::MAX, usize::MAX), 0.0).is_err());
}
