//! No operation hides NaN: a diverged network is to stop with an error, not to train on with zeros.

use candle_core::{DType, Device, Result, Tensor, Var};
use tcmax_ops::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, Linear,
    MaxPool2dConfig, ParamBuilder, Seed, backward, conv2d, layer_norm, log_sum_exp, max_pool2d,
    perceptron, quadratic_form, relu, softmax, to_vec_f64,
};

fn random(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), dtype, &Device::Cpu).unwrap()
}

/// A variable with one NaN.
fn with_nan(shape: &[usize], dtype: DType) -> Var {
    let mut values = to_vec_f64(&random(1, shape, dtype)).unwrap();
    let middle = values.len() / 2;
    values[middle] = f64::NAN;
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
}

fn count_of_nan(tensor: &Tensor) -> usize {
    to_vec_f64(tensor).unwrap().iter().filter(|value| value.is_nan()).count()
}

/// Asserts that NaN in the input is in the output, and in the input's gradient even where a later
/// operation has not seen it.
fn assert_passed_on(what: &str, shape: &[usize], f: impl Fn(&Tensor) -> Result<Tensor>) {
    for dtype in [DType::F32, DType::F64] {
        let x = with_nan(shape, dtype);
        let y = f(x.as_tensor()).unwrap();
        assert!(count_of_nan(&y) > 0, "{what} {dtype:?}: NaN is gone");
        let loss = y.sqr().unwrap().sum_all().unwrap();
        assert!(to_vec_f64(&loss).unwrap()[0].is_nan(), "{what} {dtype:?}: the loss is a number");
        let gradients = backward(&loss).unwrap();
        let dx = gradients.get(x.as_tensor()).unwrap();
        assert!(count_of_nan(dx) > 0, "{what} {dtype:?}: the gradient is a number");
    }
}

fn linear(weight: Tensor, bias: Tensor) -> Linear {
    Linear::from_tensors(weight, bias).unwrap()
}

#[test]
fn of_perceptrons() {
    for activation in [Activation::Relu, Activation::Squareplus] {
        // A last layer that is narrow, and one that is not.
        for outputs in [1, 9] {
            assert_passed_on("perceptron", &[5, 3], |x| {
                let own = |seed: u64, shape: &[usize]| random(seed, shape, x.dtype());
                let layers = [
                    linear(own(2, &[40, 3]), own(3, &[40])),
                    linear(own(4, &[outputs, 40]), own(5, &[outputs])),
                ];
                perceptron(x, &layers, activation)
            });
        }
    }
    // In a parameter that only hidden units see.
    let x = random(1, &[5, 3], DType::F32);
    let weight = with_nan(&[4, 3], DType::F32);
    let own = |seed: u64, shape: &[usize]| random(seed, shape, DType::F32);
    let layers =
        [linear(weight.as_tensor().clone(), own(2, &[4])), linear(own(3, &[2, 4]), own(4, &[2]))];
    assert_eq!(count_of_nan(&perceptron(&x, &layers, Activation::Relu).unwrap()), 10);
}

#[test]
fn of_units_of_residual_networks() {
    let conv = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
    let pool = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    for train in [true, false] {
        let norm = |dtype: DType, channels: usize| {
            let builder = ParamBuilder::new(Seed::new(8), dtype, &Device::Cpu);
            BatchNorm2d::new(&builder, channels, BatchNormConfig::default()).unwrap()
        };
        let unit = |x: &Tensor, w: [usize; 4]| {
            let filters = random(2, &w, x.dtype());
            ConvUnit::new(filters, conv, norm(x.dtype(), w[3])).unwrap()
        };
        let shape = [2, 8, 8, 16];
        assert_passed_on("normalisation and ReLU", &shape, |x| {
            norm(x.dtype(), 16).forward_relu(x, train)
        });
        assert_passed_on("residual and ReLU", &shape, |x| {
            let other = random(3, &shape, x.dtype());
            unit(x, [3, 3, 16, 16]).forward(&other, Some(x), true, train)
        });
        assert_passed_on("convolution, normalisation and ReLU", &shape, |x| {
            unit(x, [3, 3, 16, 16]).forward(x, None, true, train)
        });
        assert_passed_on("stem", &[2, 9, 9, 3], |x| {
            unit(x, [3, 3, 3, 5]).forward_pooled(x, pool, train)
        });
    }
    for (shape, w) in [
        ([2, 8, 8, 16], [3, 3, 16, 16]),
        ([9, 3, 3, 5], [3, 3, 5, 4]),
        ([2, 9, 9, 3], [2, 2, 3, 4]),
    ] {
        assert_passed_on("convolution", &shape, |x| conv2d(x, &random(2, &w, x.dtype()), conv));
    }
    assert_passed_on("max pool", &[2, 9, 9, 3], |x| max_pool2d(x, pool));
    assert_passed_on("ReLU", &[4, 3], relu);
}

#[test]
fn of_rows() {
    assert_passed_on("softmax", &[5, 40], softmax);
    assert_passed_on("layer norm", &[5, 40], |x| {
        let scale = random(2, &[40], x.dtype());
        layer_norm(x, &scale, &scale, 1e-5)
    });
    for dim in [0, 1] {
        assert_passed_on("log-sum-exp", &[5, 40], |x| log_sum_exp(x, dim));
    }
    assert_passed_on("quadratic form", &[5, 4], |x| {
        quadratic_form(x, &random(2, &[4, 4], x.dtype()))
    });
}
