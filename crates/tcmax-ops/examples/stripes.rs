//! Trains a small convolutional network to tell horizontal stripes from vertical ones, in noise.
//!
//! ```text
//! cargo run -p tcmax-ops --example stripes
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::{D, DType, Device, Result, Tensor};
use rand::Rng;
use tcmax_ops::{
    AdamW, AdamWOptions, BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, Linear,
    ParamBuilder, Seed, backward, global_avg_pool2d, log_sum_exp,
};

const SIDE: usize = 12;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let seed = Seed::new(0);
    let builder = ParamBuilder::new(seed.stream("weights"), DType::F32, &Device::Cpu);
    let filters = builder.pp("conv").filters("weight", [8, 1, 3, 3], Init::KaimingNormalFanOut)?;
    let norm = BatchNorm2d::new(&builder.pp("norm"), 8, BatchNormConfig::default())?;
    let same_size = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
    let unit = ConvUnit::new(filters, same_size, norm)?;
    let linear = Linear::new(8, 2, &builder.pp("fc"))?;
    let network = |images: &Tensor, train: bool| -> Result<Tensor> {
        linear.forward(&global_avg_pool2d(&unit.forward(images, None, true, train)?)?)
    };
    let options = AdamWOptions { learning_rate: 0.03, ..AdamWOptions::default() };
    let mut adamw = AdamW::new(&builder.params(), options)?;

    let (test, wanted) = stripes(500, seed.stream("test"))?;
    for step in 1..=60 {
        let (images, labels) = stripes(64, seed.stream("training").index(step))?;
        let logits = network(&images, true)?;
        let own = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
        let loss = (log_sum_exp(&logits, 1)? - own)?.mean_all()?;
        adamw.step(&backward(&loss)?)?;
        if step % 10 == 0 {
            let right = network(&test, false)?.argmax(D::Minus1)?.eq(&wanted)?;
            let accuracy = right.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?;
            let loss = loss.to_scalar::<f32>()?;
            println!("step {step:2}: loss {loss:.3} nats, test accuracy {:.1} %", 100.0 * accuracy);
        }
    }
    println!("{} parameters", builder.params().num_trainable());
    Ok(())
}

/// Images (N, height, width, 1) of stripes with a random offset, and which are vertical (N,).
fn stripes(count: usize, seed: Seed) -> Result<(Tensor, Tensor)> {
    let mut rng = seed.rng();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (label, offset) = (rng.random_range(0..2u32), rng.random_range(0..4));
        for (row, column) in (0..SIDE * SIDE).map(|pixel| (pixel / SIDE, pixel % SIDE)) {
            let across = if label == 1 { column } else { row };
            let bright = if (across + offset) / 2 % 2 == 0 { 1.0 } else { 0.0 };
            pixels.push(bright + rng.random_range(-2.5..2.5f32));
        }
        labels.push(label);
    }
    let images = Tensor::from_vec(pixels, (count, SIDE, SIDE, 1), &Device::Cpu)?;
    Ok((images, Tensor::new(labels, &Device::Cpu)?))
}
