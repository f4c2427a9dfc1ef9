//! The perceptron and the quadratic form against finite differences in f64, and their f32 kernels
//! against f64, in value and in every gradient, for random sizes.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use tcmax_ops::{
    Activation, Init, Linear, Seed, backward, gradient_error, perceptron, quadratic_form,
};

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

/// x, then weight and bias of each layer, for layers of so many units.
fn tensors(rows: usize, sizes: &[usize]) -> Vec<Tensor> {
    let mut tensors = vec![random(0, &[rows, sizes[0]])];
    for (i, pair) in sizes.windows(2).enumerate() {
        let scale = 1.0 / (pair[0] as f64).sqrt();
        tensors.push((random(2 * i as u64 + 1, &[pair[1], pair[0]]) * scale).unwrap());
        tensors.push(random(2 * i as u64 + 2, &[pair[1]]));
    }
    tensors
}

fn apply(tensors: &[Tensor], activation: Activation) -> Result<Tensor> {
    let layers = tensors[1..]
        .chunks_exact(2)
        .map(|pair| Linear::from_tensors(pair[0].clone(), pair[1].clone()));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    perceptron(&tensors[0], &layers, activation)
}

/// The output and the gradients of everything, of the sum of outputs times fixed weights.
fn value_and_gradients(tensors: &[Tensor], dtype: DType, activation: Activation) -> Vec<Tensor> {
    let vars: Vec<Var> =
        tensors.iter().map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap()).collect();
    let own: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = apply(&own, activation).unwrap();
    let weights = random(99, y.dims()).to_dtype(dtype).unwrap();
    let gradients = backward(&(&y * weights).unwrap().sum_all().unwrap()).unwrap();
    let mut all = vec![y.detach()];
    all.extend(own.iter().map(|t| gradients.get(t).unwrap().clone()));
    all
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn largest_gap(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let size = flat(b).into_iter().fold(1.0, |most: f64, b| most.max(b.abs()));
    let gaps = flat(a).into_iter().zip(flat(b)).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f64::max) / size
}

#[test]
fn gradients_agree_with_finite_differences() {
    for activation in [Activation::Squareplus, Activation::Relu] {
        for sizes in [&[3, 5, 4, 1][..], &[2, 6, 3], &[2, 3]] {
            let tensors = tensors(7, sizes);
            let weights = random(99, &[7, sizes[sizes.len() - 1]]);
            let error =
                gradient_error(&tensors, |t| Ok((apply(t, activation)? * &weights)?.sum_all()?));
            assert!(error.unwrap() < 1e-7, "{sizes:?} {activation:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_kernel_agrees_with_double_precision(
        rows in 1usize..1300,
        sizes in prop::collection::vec(1usize..70, 2..6),
    ) {
        let tensors = tensors(rows, &sizes);
        let exact = value_and_gradients(&tensors, DType::F64, Activation::Squareplus);
        let fast = value_and_gradients(&tensors, DType::F32, Activation::Squareplus);
        for (place, (fast, exact)) in fast.iter().zip(&exact).enumerate() {
            prop_assert!(largest_gap(fast, exact) < 1e-4, "tensor {} of {:?}", place, sizes);
        }
    }
}

#[test]
fn networks_of_one_layer_and_of_narrow_ones_agree_too() {
    for sizes in [&[2, 1][..], &[9, 4], &[9, 5], &[3, 2, 1], &[3, 2, 4], &[17, 1, 1, 3]] {
        for rows in [1, 2, 300] {
            let tensors = tensors(rows, sizes);
            let exact = value_and_gradients(&tensors, DType::F64, Activation::Squareplus);
            let fast = value_and_gradients(&tensors, DType::F32, Activation::Squareplus);
            for (fast, exact) in fast.iter().zip(&exact) {
                assert!(largest_gap(fast, exact) < 1e-5, "{sizes:?}, {rows} rows");
            }
        }
    }
}

#[test]
fn the_kernel_of_relu_agrees_with_double_precision() {
    let tensors = tensors(700, &[5, 40, 33, 2]);
    let exact = value_and_gradients(&tensors, DType::F64, Activation::Relu);
    let fast = value_and_gradients(&tensors, DType::F32, Activation::Relu);
    // No unit of this draw is so near 0 that f32 sees it on the other side.
    for (fast, exact) in fast.iter().zip(&exact) {
        assert!(largest_gap(fast, exact) < 1e-5);
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let tensors = tensors(3, &[4, 5, 2]);
    let x = random(0, &[3, 3]);
    assert!(apply(&[&[x], &tensors[1..]].concat(), Activation::Relu).is_err());
    assert!(apply(&tensors[..1], Activation::Relu).is_err());
    let swapped = [tensors[0].clone(), tensors[3].clone(), tensors[4].clone()];
    assert!(apply(&swapped, Activation::Relu).is_err());
}

#[test]
fn the_quadratic_form_is_its_definition_in_value_and_gradient() {
    let (u, q) = (random(1, &[9, 5]), random(2, &[5, 5]));
    let weights = random(3, &[9, 1]);
    let error = gradient_error(&[u.clone(), q.clone()], |t| {
        Ok((quadratic_form(&t[0], &t[1])? * &weights)?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-7);
    for (rows, width) in [(1, 1), (700, 3), (1100, 50)] {
        let (u, q) = (random(1, &[rows, width]), random(2, &[width, width]));
        let weights = random(3, &[rows, 1]);
        let run = |dtype: DType| {
            let var = |t: &Tensor| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap();
            let (u, q) = (var(&u), var(&q));
            let y = quadratic_form(u.as_tensor(), q.as_tensor()).unwrap();
            let loss = (&y * weights.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap();
            let gradients = backward(&loss).unwrap();
            [&u, &q].map(|t| gradients.get(t.as_tensor()).unwrap().clone()).into_iter().chain([y])
        };
        for (fast, exact) in run(DType::F32).zip(run(DType::F64)) {
            assert!(largest_gap(&fast, &exact) < 1e-5, "{rows} x {width}");
        }
    }
    assert!(quadratic_form(&u, &random(0, &[4, 4])).is_err());
}
