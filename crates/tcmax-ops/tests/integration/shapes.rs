//! Kernels in f32 against plain code in f64 under random shapes, in value and in every gradient: units
//! around a batch norm with every convolution and pool before and after it, and operations on rows.

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, MaxPool2dConfig, ParamBuilder,
    Seed, backward, conv2d, layer_norm, log_sum_exp, softmax, to_vec_f64,
};

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

/// A variable of this element type, and a view of it that is not contiguous wherever that can be.
fn variable(seed: u64, shape: &[usize], dtype: DType) -> (Var, Tensor) {
    let var = Var::from_tensor(&random(seed, shape).to_dtype(dtype).unwrap()).unwrap();
    let last = shape.len() - 1;
    let transposed = var.as_tensor().transpose(0, last).unwrap().contiguous().unwrap();
    let view = transposed.transpose(0, last).unwrap();
    (var, view)
}

/// The largest error of `single` relative to the root mean square of `double`, over all tensors.
fn largest_error(single: &[Tensor], double: &[Tensor]) -> f64 {
    assert_eq!(single.len(), double.len());
    let mut worst = 0.0f64;
    for (single, double) in single.iter().zip(double) {
        assert_eq!(single.dims(), double.dims());
        let (single, double) = (to_vec_f64(single).unwrap(), to_vec_f64(double).unwrap());
        let square: f64 = double.iter().map(|value| value * value).sum();
        let root = (square / double.len().max(1) as f64).sqrt().max(1.0);
        for (single, double) in single.iter().zip(&double) {
            let error = (single - double).abs() / root;
            worst = if error > worst || error.is_nan() { error } else { worst };
        }
    }
    worst
}

#[derive(Clone, Debug)]
struct Unit {
    x: [usize; 4],
    w: [usize; 4],
    conv: Conv2dConfig,
    pool: Option<MaxPool2dConfig>,
    residual: bool,
    train: bool,
    seed: u64,
}

fn units() -> impl Strategy<Value = Unit> {
    let sizes = (1usize..12, 1usize..34, 1usize..70, 3usize..16, 3usize..16);
    let windows = (1usize..4, 1usize..4, 1usize..3, 1usize..3, 0usize..2, 0usize..2);
    let pool = prop::option::of((1usize..4, 1usize..4, 1usize..3, 1usize..3));
    (sizes, windows, pool, any::<bool>(), any::<bool>(), any::<u64>()).prop_map(
        |((b, c, o, h, w), (kh, kw, sh, sw, ph, pw), pool, residual, train, seed)| Unit {
            x: [b, h, w, c],
            w: [kh, kw, c, o],
            conv: Conv2dConfig { stride: (sh, sw), padding: (ph, pw) },
            pool: pool.map(|(h, w, sh, sw)| MaxPool2dConfig {
                kernel: (h, w),
                stride: (sh, sw),
                padding: (h / 2, w / 2),
            }),
            residual,
            train,
            seed,
        },
    )
}

impl Unit {
    /// Output, gradients and running statistics; an error where the window does not fit.
    fn run(&self, dtype: DType) -> candle_core::Result<Vec<Tensor>> {
        let builder = ParamBuilder::new(Seed::new(self.seed), dtype, &Device::Cpu);
        let weight_init = Init::Normal { mean: 1.0, std: 0.5 };
        let config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
        let norm = BatchNorm2d::new(&builder, self.w[3], config).unwrap();
        let (x, x_view) = variable(self.seed ^ 1, &self.x, dtype);
        let (w, w_view) = variable(self.seed ^ 2, &self.w, dtype);
        let unit = ConvUnit::new(w_view, self.conv, norm).unwrap();
        let mut residual = None;
        let y = match self.pool {
            Some(pool) => unit.forward_pooled(&x_view, pool, self.train)?,
            None => {
                // What the residual has to be like is known from a pass without it.
                let plain = unit.forward(&x_view, None, false, false)?;
                residual = self.residual.then(|| variable(self.seed ^ 3, plain.dims(), dtype));
                let view = residual.as_ref().map(|(_, view)| view);
                // No ReLU: a value that f32 rounds to the other side of 0 has another gradient.
                unit.forward(&x_view, view, false, self.train)?
            }
        };
        let weights = random(self.seed ^ 4, y.dims()).to_dtype(dtype)?;
        let gradients = backward(&(&y * weights)?.sum_all()?)?;
        let mut all = vec![y];
        let params = builder.params();
        let vars = [Some(&x), Some(&w), residual.as_ref().map(|(var, _)| var)];
        for var in vars.into_iter().flatten().chain(params.trainable().map(|(_, var)| var)) {
            all.push(gradients.get(var.as_tensor()).unwrap().clone());
        }
        all.extend(params.buffers().map(|(_, var)| var.as_tensor().clone()));
        Ok(all)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_around_a_batch_norm_follow_double_precision(unit in units()) {
        // With few values per channel the gradient is a difference of nearly equal numbers.
        let positions = unit.x[0] * unit.x[1] * unit.x[2];
        prop_assume!(positions >= 64);
        let double = unit.run(DType::F64);
        let single = unit.run(DType::F32);
        prop_assert_eq!(double.is_ok(), single.is_ok());
        let (Ok(double), Ok(single)) = (double, single) else { return Ok(()) };
        if unit.pool.is_some() {
            // Which of two nearly equal values is larger may differ; the values may not.
            prop_assert!(largest_error(&single[..1], &double[..1]) < 1e-4);
        } else {
            let error = largest_error(&single, &double);
            prop_assert!(error < 2e-3, "{error:e}");
        }
    }

    #[test]
    fn rows_follow_double_precision(
        (a, b, len) in (1usize..20, 1usize..20, 1usize..130),
        seed in any::<u64>(),
    ) {
        let run = |dtype: DType| {
            let (x, view) = variable(seed, &[a, b, len], dtype);
            let (scale, scale_view) = variable(seed ^ 1, &[len], dtype);
            let (shift, shift_view) = variable(seed ^ 2, &[len], dtype);
            let flat = view.flatten(0, 1).unwrap();
            let ys = [
                softmax(&view).unwrap(),
                layer_norm(&view, &scale_view, &shift_view, 0.1).unwrap(),
                log_sum_exp(&flat, 0).unwrap(),
                log_sum_exp(&flat, 1).unwrap(),
            ];
            let mut all = ys.to_vec();
            for (y, seed) in ys.iter().zip(10..) {
                let weights = random(seed, y.dims()).to_dtype(dtype).unwrap();
                let loss = (y * weights).unwrap().sum_all().unwrap();
                let gradients = backward(&loss).unwrap();
                let own = [&x, &scale, &shift].map(|var| gradients.get(var.as_tensor()).cloned());
                all.extend(own.into_iter().flatten());
            }
            all
        };
        let error = largest_error(&run(DType::F32), &run(DType::F64));
        prop_assert!(error < 1e-4, "{error:e}");
    }
}

/// Output and gradients of a convolution whose output is weighted at random.
fn convolution(x: [usize; 4], w: [usize; 4], stride: usize, dtype: DType) -> Vec<Tensor> {
    let [x, w] = [(1, x), (2, w)].map(|(seed, shape)| {
        Var::from_tensor(&random(seed, &shape).to_dtype(dtype).unwrap()).unwrap()
    });
    let config = Conv2dConfig { stride: (stride, stride), padding: (1, 1) };
    let y = conv2d(x.as_tensor(), w.as_tensor(), config).unwrap();
    let weights = random(3, y.dims()).to_dtype(dtype).unwrap();
    let gradients = backward(&(&y * weights).unwrap().sum_all().unwrap()).unwrap();
    let gradient = |of: &Var| gradients.get(of.as_tensor()).unwrap().clone();
    vec![y, gradient(&x), gradient(&w)]
}

/// Shapes of which one pass is cut into several tasks by each of its ways: random ones are too small for that.
#[test]
fn convolutions_in_many_tasks_follow_double_precision() {
    for (x, to, stride) in [
        // A weight gradient in bands of rows, and in groups of lines that do not end where images do.
        ([2, 9, 9, 160], 160, 2),
        ([5, 20, 17, 24], 40, 2),
        // Images of a few pixels, more channels than a task has rows.
        ([8, 3, 3, 200], 40, 1),
        // Winograd: all tiles at once, more channels than are transformed together; eight groups of bands, and four.
        ([2, 8, 8, 150], 70, 1),
        ([8, 24, 21, 40], 40, 1),
        ([8, 24, 21, 40], 70, 1),
    ] {
        let w = [3, 3, x[3], to];
        let [single, double] =
            [DType::F32, DType::F64].map(|dtype| convolution(x, w, stride, dtype));
        let error = largest_error(&single, &double);
        assert!(error < 1e-4, "{x:?} to {to} at stride {stride}: {error}");
    }
}
