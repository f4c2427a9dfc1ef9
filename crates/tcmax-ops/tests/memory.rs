//! The memory between the passes of a convolutional network, counted by the allocator.

#[path = "../../tcmax-data/tests/counting/mod.rs"]
mod counting;

use candle_core::{DType, Device, Tensor};
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Hidden, Init, ParamBuilder, Seed,
    only_reading,
};

const UNITS: usize = 8;
const CHANNELS: usize = 8;

// One test, so that nothing else allocates while it measures.
#[test]
fn a_unit_keeps_its_convolution_and_not_its_result() {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    let conv = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
    let unit = |number: usize| {
        let shape = [CHANNELS, CHANNELS, 3, 3];
        let builder = builder.pp(number);
        let filters = builder.pp("conv").filters("weight", shape, Init::KaimingNormalFanOut);
        let norm = BatchNorm2d::new(&builder, CHANNELS, BatchNormConfig::default());
        ConvUnit::new(filters.unwrap(), conv, norm.unwrap()).unwrap()
    };
    let units: Vec<ConvUnit> = (0..UNITS).map(unit).collect();
    let x = Tensor::ones((16, 64, 64, CHANNELS), DType::F32, &Device::Cpu).unwrap();
    let of_one = x.elem_count() * 4;
    let (y, bytes) = counting::measure(|| {
        let x = Hidden::of(&x).unwrap();
        units.iter().try_fold(x, |x, unit| x.conv_unit(unit, None, true, true)).unwrap()
    });
    let held = bytes as f64 / of_one as f64;
    // A convolution of each, and what the last one computes with.
    assert!(held < UNITS as f64 + 3.5, "{held} tensors of {UNITS} units");
    let y = y.tensor().unwrap();
    assert!(y.track_op());
    let loss = y.sqr().unwrap().mean_all().unwrap();
    assert_eq!(tcmax_ops::backward(&loss).unwrap().get_ids().count(), 3 * UNITS);

    let encoded = || {
        let x = Hidden::of(&x).unwrap();
        let y = units.iter().try_fold(x, |x, unit| x.conv_unit(unit, None, true, false)).unwrap();
        y.tensor().unwrap()
    };
    let (kept, bytes) = counting::measure(encoded);
    assert!(kept.track_op() && bytes / of_one >= UNITS, "{bytes} bytes of evaluation with a graph");
    let (read, bytes) = counting::measure(|| only_reading(encoded));
    assert!(bytes < 5 * of_one, "{bytes} bytes at a time, of {of_one} in a tensor");
    assert_eq!(tcmax_ops::to_vec_f64(&read).unwrap(), tcmax_ops::to_vec_f64(&kept).unwrap());
}
