//! Half precision: what is rounded, what is not, and where gradients come back in f32.

use candle_core::{DType, Device, Result, Tensor, Var};
use tcmax_ops::{
    Activation, AttentionMask, BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Gelu, Hidden,
    Init, Linear, MaxPool2dConfig, ParamBuilder, RecurrentCell, Seed, Sequences, attention, conv2d,
    gelu, global_avg_pool2d, in_half_precision, layer_norm, max_pool2d, perceptron, recurrent,
    relu, to_vec_f64,
};

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F32, &Device::Cpu).unwrap()
}

fn layer(weight: &Tensor, bias: &Tensor) -> Linear {
    Linear::from_tensors(weight.clone(), bias.clone()).unwrap()
}

/// The result and all gradients, in f32, of `f` on variables of these shapes; with the type of the result.
fn passes(shapes: &[&[usize]], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> (DType, Vec<Vec<f64>>) {
    let var = |(seed, shape): (usize, &&[usize])| Var::from_tensor(&random(seed as u64, shape));
    let vars: Vec<Var> = shapes.iter().enumerate().map(|pair| var(pair).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let weights = random(99, y.dims());
    let loss = (y.to_dtype(DType::F32).unwrap() * weights).unwrap().sum_all().unwrap();
    let gradients = tcmax_ops::backward(&loss).unwrap();
    let mut all = vec![to_vec_f64(&y).unwrap()];
    for tensor in &tensors {
        let gradient = gradients.get(tensor).expect("a gradient");
        assert_eq!(gradient.dtype(), DType::F32);
        all.push(to_vec_f64(gradient).unwrap());
    }
    (y.dtype(), all)
}

/// How far vectors are apart, beside their length.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    length(&mut a.iter().zip(b).map(|(a, b)| a - b)) / length(&mut b.iter().copied())
}

/// Checks that `f` in half precision is near to `f`, and of this type.
fn check(name: &str, result: DType, shapes: &[&[usize]], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let (_, wanted) = passes(shapes, f);
    let (dtype, found) = in_half_precision(|| passes(shapes, f));
    assert_eq!(dtype, result, "{name}");
    for (part, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let gap = distance(found, wanted);
        // Gradients jump where a maximum or a sign is another one.
        let limit = if part == 0 { 0.01 } else { 0.1 };
        assert!(gap < limit, "{name}: part {part} is {gap} away");
    }
    let (dtype, after) = passes(shapes, f);
    assert_eq!((dtype, after), (DType::F32, wanted), "{name}: the precision stays after its scope");
}

const BF16: DType = DType::BF16;

#[test]
fn products_round_and_come_near() {
    let linear: &[&[usize]] = &[&[9, 20], &[7, 20], &[7]];
    check("linear", BF16, linear, &|t| layer(&t[1], &t[2]).forward(&t[0]));
    let conv = Conv2dConfig { stride: (2, 1), padding: (1, 1) };
    let images: &[&[usize]] = &[&[3, 7, 6, 8], &[3, 3, 8, 8]];
    check("conv2d", BF16, images, &|t| conv2d(&t[0], &t[1], conv));
    let rows: &[&[usize]] = &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 8]];
    for causal in [false, true] {
        let keys = Tensor::new(&[[1f32, 1.0, 1.0, 0.0, 1.0], [1.0; 5]], &Device::Cpu).unwrap();
        let mask = AttentionMask { keys: Some(keys), causal };
        check("attention", BF16, rows, &|t| attention(&t[0], &t[1], &t[2], 2, &mask));
    }
    let layers: &[&[usize]] = &[&[9, 6], &[11, 6], &[11], &[4, 11], &[4]];
    for activation in [Activation::Relu, Activation::Squareplus] {
        check("perceptron", BF16, layers, &|t| {
            perceptron(&t[0], &[layer(&t[1], &t[2]), layer(&t[3], &t[4])], activation)
        });
    }
}

#[test]
fn inputs_are_rounded_before_they_are_multiplied() {
    let device = Device::Cpu;
    let small = 1.0 / 1024.0;
    let x = Tensor::new(&[[1f32, -1.0]], &device).unwrap();
    let weight = Tensor::new(&[[1f32 + small, 1.0]], &device).unwrap();
    let layer = layer(&weight, &Tensor::new(&[0f32], &device).unwrap());
    let single = to_vec_f64(&layer.forward(&x).unwrap()).unwrap();
    let half = to_vec_f64(&in_half_precision(|| layer.forward(&x)).unwrap()).unwrap();
    assert_eq!((single, half), (vec![f64::from(small)], vec![0.0]));
}

#[test]
fn what_is_between_products_keeps_their_type_and_sums_are_f32() {
    let product = |t: &[Tensor]| layer(&t[1], &t[2]).forward(&t[0]);
    let shapes: &[&[usize]] = &[&[9, 20], &[8, 20], &[8], &[8], &[8]];
    let three = &shapes[..3];
    check("relu", BF16, three, &|t| relu(&product(t)?));
    for form in [Gelu::Exact, Gelu::Tanh, Gelu::Quick] {
        check("gelu", BF16, three, &|t| gelu(&product(t)?, form));
    }
    check("layer norm", BF16, shapes, &|t| layer_norm(&product(t)?, &t[3], &t[4], 1e-5));
    check("layer norm of f32", DType::F32, &[&[9, 8], &[8], &[8]], &|t| {
        layer_norm(&t[0], &t[1], &t[2], 1e-5)
    });
    let images: &[&[usize]] = &[&[3, 7, 6, 8], &[3, 3, 8, 8]];
    let conv = |t: &[Tensor]| conv2d(&t[0], &t[1], Conv2dConfig::default());
    let pool = MaxPool2dConfig { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
    check("maximum", BF16, images, &|t| max_pool2d(&conv(t)?, pool));
    check("mean", DType::F32, images, &|t| global_avg_pool2d(&conv(t)?));
    for cell in [RecurrentCell::Gru, RecurrentCell::Lstm] {
        let sums = cell.gates() * 4;
        let shapes: [&[usize]; 5] = [&[2 * 3, 5], &[sums, 5], &[sums], &[sums, 4], &[sums]];
        check("recurrent", DType::F32, &shapes, &|t| {
            let there = Tensor::new(&[[1f32, 1.0, 1.0], [1.0, 1.0, 0.0]], &Device::Cpu)?;
            let inputs = product(t)?.reshape((2, 3, sums))?;
            Ok(recurrent(cell, &inputs, &layer(&t[3], &t[4]), &there, false)?.steps)
        });
    }
}

#[test]
fn hidden_values_of_different_lengths_come_near() {
    // Three sequences of 4, 1 and 3 rows.
    let shapes: &[&[usize]] = &[&[8, 12], &[36, 12], &[36], &[12], &[12]];
    let run = |t: &[Tensor], sequences: &Sequences| -> Result<Hidden> {
        let x = Hidden::of(&t[0])?;
        let all = x.layer_norm(&t[3], &t[4], 1e-5)?.linear(&layer(&t[1], &t[2]))?;
        let [q, k, v] = [0, 1, 2].map(|part| all.columns(part * 12, 12));
        let attended = Hidden::attention([&q?, &k?, &v?], 3, sequences)?;
        let x = x.add(&attended.gelu(Gelu::Exact)?)?;
        x.add(&x.relu()?.dropout(0.25, Seed::new(6))?)
    };
    let causal = Sequences::new([4, 1, 3]).unwrap().causal();
    check("rows", DType::F32, shapes, &|t| run(t, &causal)?.tensor());
    let seen = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], &Device::Cpu).unwrap();
    let seen = Sequences::new([4, 1, 3]).unwrap().seeing(seen).unwrap();
    check("means", DType::F32, shapes, &|t| run(t, &seen)?.mean(&seen)?.tensor());
}

#[test]
fn units_of_convolutional_networks_come_near_and_keep_f32_statistics() {
    let run = |residual: bool, train: bool| -> (DType, [Vec<f64>; 4]) {
        let builder = ParamBuilder::new(Seed::new(4), DType::F32, &Device::Cpu);
        let start = Init::KaimingNormalFanOut;
        let filters = builder.pp("conv").filters("weight", [6, 6, 3, 3], start).unwrap();
        let norm = BatchNorm2d::new(&builder.pp("norm"), 6, BatchNormConfig::default()).unwrap();
        let conv = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
        let unit = ConvUnit::new(filters, conv, norm).unwrap();
        let x = Var::from_tensor(&random(1, &[4, 5, 6, 6])).unwrap();
        let forward =
            |residual: Option<&Tensor>| unit.forward(x.as_tensor(), residual, true, train);
        // A residual has the type that a unit has.
        let before = residual.then(|| forward(None).unwrap());
        let y = forward(before.as_ref()).unwrap();
        let loss = y.to_dtype(DType::F32).unwrap().sqr().unwrap().mean_all().unwrap();
        let gradients = tcmax_ops::backward(&loss).unwrap();
        let params = builder.params();
        let mut of_parameters = Vec::new();
        for (name, var) in params.trainable() {
            let gradient = gradients.get(var.as_tensor());
            let gradient = gradient.unwrap_or_else(|| panic!("{name} is cut"));
            assert_eq!(gradient.dtype(), DType::F32, "{name}");
            of_parameters.extend(to_vec_f64(gradient).unwrap());
        }
        let running = params.buffers().flat_map(|(_, var)| to_vec_f64(var.as_tensor()).unwrap());
        let of_x = to_vec_f64(gradients.get(x.as_tensor()).unwrap()).unwrap();
        let all = [to_vec_f64(&y).unwrap(), of_x, of_parameters, running.collect()];
        (y.dtype(), all)
    };
    for (residual, train) in [(false, true), (true, true), (false, false), (true, false)] {
        let (_, wanted) = run(residual, train);
        let (dtype, found) = in_half_precision(|| run(residual, train));
        assert_eq!(dtype, BF16);
        for (part, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let gap = distance(found, wanted);
            assert!(gap < 0.03, "{residual} {train}: part {part} is {gap} away");
        }
    }
}

#[test]
fn doubles_stay_doubles_and_a_panic_ends_the_scope() {
    let double = |seed: u64, shape: &[usize]| random(seed, shape).to_dtype(DType::F64).unwrap();
    let layer = layer(&double(1, &[3, 4]), &double(2, &[3]));
    let x = double(3, &[2, 4]);
    let wanted = layer.forward(&x).unwrap().to_vec2::<f64>().unwrap();
    let found = in_half_precision(|| layer.forward(&x)).unwrap();
    assert_eq!(found.to_vec2::<f64>().unwrap(), wanted);
    assert!(std::panic::catch_unwind(|| in_half_precision(|| panic!("on purpose"))).is_err());
    let single = self::layer(&random(1, &[3, 4]), &random(2, &[3]));
    assert_eq!(single.forward(&random(3, &[2, 4])).unwrap().dtype(), DType::F32);
}

/// Steps that are smaller than bf16 tells apart add up, as the parameters are f32.
#[test]
fn small_steps_add_up() {
    let weight = Var::new(&[[1f32]], &Device::Cpu).unwrap();
    let layer = layer(weight.as_tensor(), &Tensor::new(&[0f32], &Device::Cpu).unwrap());
    let x = Tensor::new(&[[1f32]], &Device::Cpu).unwrap();
    for _ in 0..100 {
        let y = in_half_precision(|| layer.forward(&x)).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(weight.as_tensor()).unwrap();
        weight.set(&(weight.as_tensor() - (gradient * 1e-4).unwrap()).unwrap()).unwrap();
    }
    let end = to_vec_f64(weight.as_tensor()).unwrap()[0];
    assert!((end - 0.99).abs() < 1e-5, "{end}");
}
