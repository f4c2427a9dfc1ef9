//! Values that a convolutional network makes again in its backward pass, in place of keeping them.

use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Hidden, Init, ParamBuilder, Params, Seed,
    backward, to_vec_f64,
};

/// A block of a residual network: two units, with the input added to the second.
struct Block {
    units: [ConvUnit; 2],
    params: Params,
    x: Var,
}

impl Block {
    fn new(dtype: DType) -> Self {
        let builder = ParamBuilder::new(Seed::new(4), dtype, &Device::Cpu);
        let start = Init::KaimingNormalFanOut;
        let unit = |name: &str| {
            let builder = builder.pp(name);
            let filters = builder.pp("conv").filters("weight", [8, 8, 3, 3], start).unwrap();
            // Slopes of both signs.
            let weight_init = Init::Normal { mean: 0.5, std: 1.0 };
            let config = BatchNormConfig { weight_init, ..BatchNormConfig::default() };
            let norm = BatchNorm2d::new(&builder, 8, config).unwrap();
            let conv = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
            ConvUnit::new(filters, conv, norm).unwrap()
        };
        let units = [unit("one"), unit("two")];
        let unit = Init::Normal { mean: 0.2, std: 1.0 };
        let x = unit.tensor(&(3, 9, 7, 8).into(), Seed::new(5), dtype, &Device::Cpu).unwrap();
        Self { units, params: builder.params(), x: Var::from_tensor(&x).unwrap() }
    }

    /// On hidden values, of which the first unit's are made again.
    fn hidden(&self, train: bool) -> Tensor {
        let x = Hidden::of(self.x.as_tensor()).unwrap();
        let y = x.conv_unit(&self.units[0], None, true, train).unwrap();
        y.conv_unit(&self.units[1], Some(&x), true, train).unwrap().tensor().unwrap()
    }

    /// On tensors of candle's graph, which keeps all.
    fn kept(&self, train: bool) -> Tensor {
        let x = self.x.as_tensor();
        let y = self.units[0].forward(x, None, true, train).unwrap();
        self.units[1].forward(&y, Some(x), true, train).unwrap()
    }

    /// The result and the gradients of all parameters and of x; `before_backward` comes between the passes.
    fn passes(&self, y: &Tensor, before_backward: impl FnOnce()) -> Vec<Vec<f64>> {
        let weights = Tensor::arange(0f64, y.elem_count() as f64, &Device::Cpu).unwrap();
        let weights = weights.sin().unwrap().reshape(y.shape()).unwrap();
        let loss = (y * weights.to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap();
        before_backward();
        let gradients = backward(&loss).unwrap();
        let of = |tensor: &Tensor| to_vec_f64(gradients.get(tensor).unwrap()).unwrap();
        let parameters = self.params.trainable().map(|(_, var)| of(var.as_tensor()));
        [to_vec_f64(y).unwrap(), of(self.x.as_tensor())].into_iter().chain(parameters).collect()
    }
}

#[test]
fn what_is_made_again_has_the_bits_of_what_is_kept() {
    for dtype in [DType::F32, DType::F64] {
        for train in [true, false] {
            let (one, other) = (Block::new(dtype), Block::new(dtype));
            let again = one.passes(&one.hidden(train), || ());
            let kept = other.passes(&other.kept(train), || ());
            assert_eq!(again.len(), 2 + 6);
            assert_eq!(again, kept, "{dtype:?}, training {train}");
            assert!(again[1].iter().any(|gradient| *gradient != 0.0));
        }
    }
}

#[test]
fn it_is_what_it_was_and_not_what_parameters_that_changed_since_would_make() {
    let block = Block::new(DType::F64);
    let y = block.hidden(true);
    let wanted = block.passes(&y, || ());
    let change = || {
        for (name, var) in block.params.trainable() {
            if name.starts_with("one") && var.rank() == 1 {
                var.set(&(var.as_tensor() + 3.0).unwrap()).unwrap();
            }
        }
    };
    let found = block.passes(&y, change);
    let names: Vec<&str> = block.params.trainable().map(|(name, _)| name).collect();
    for ((name, found), wanted) in names.iter().zip(&found[2..]).zip(&wanted[2..]) {
        // The second unit sees the first one's result of before, and the first one's bias gets what passed its ReLU.
        if name.starts_with("two") || *name == "one.bias" {
            assert_eq!(found, wanted, "{name}");
        }
    }
}
