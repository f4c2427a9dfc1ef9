//! Trains a GRU to tell rising sequences from falling ones, of 3 to 12 noisy steps each.
//!
//! ```text
//! cargo run -p tcmax-encoders --example sequences
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::{D, DType, Device, Result, Tensor};
use tcmax_encoders::{GRU, Input, InputKind};
use tcmax_ops::{Adam, AdamOptions, Linear, ParamBuilder, Seed, backward, log_sum_exp};

const STEPS: usize = 12;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
    // A step is a number, and a flag that says whether the step is there.
    let input = Input { kind: InputKind::Sequence, shape: &[STEPS, 2] };
    let gru = GRU.build(&"units = 8".parse()?, input, &builder.pp("gru"))?;
    let linear = Linear::new(gru.feature_width(), 2, &builder.pp("fc"))?;
    println!("{} features, {} parameters", gru.feature_width(), builder.params().num_trainable());
    let options = AdamOptions { learning_rate: 0.02, ..AdamOptions::default() };
    let mut adam = Adam::new(&builder.params(), options)?;

    let (sequences, labels) = sequences(256, 0)?;
    let (test, wanted) = self::sequences(500, 10_000)?;
    for epoch in 1..=60 {
        let logits = linear.forward(&gru.encode(&sequences, true)?)?;
        let own = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
        let loss = (log_sum_exp(&logits, 1)? - own)?.mean_all()?;
        adam.step(&backward(&loss)?)?;
        if epoch % 10 == 0 {
            let logits = linear.forward(&gru.encode(&test, false)?)?;
            let right = logits.argmax(D::Minus1)?.eq(&wanted)?.to_dtype(DType::F32)?;
            let accuracy = 100.0 * right.mean_all()?.to_scalar::<f32>()?;
            println!(
                "epoch {epoch}: loss {:.3} nats, test accuracy {accuracy:.1} %",
                loss.to_scalar::<f32>()?
            );
        }
    }
    Ok(())
}

/// Sequences (N, steps, 2), and whether each rises (N,).
fn sequences(count: u32, start: u32) -> Result<(Tensor, Tensor)> {
    let mut values = Vec::new();
    for number in start..start + count {
        let slope = if number % 2 == 1 { 0.3 } else { -0.3 };
        let length = 3 + number as usize / 2 % (STEPS - 2);
        for step in 0..STEPS {
            let noise = (f64::from(number) * 12.9898 + step as f64 * 78.233).sin() * 43758.5453;
            let value = slope * step as f32 + 2.0 * noise.fract() as f32;
            values.extend(if step < length { [value, 1.0] } else { [0.0, 0.0] });
        }
    }
    let labels: Vec<u32> = (start..start + count).map(|number| number % 2).collect();
    let sequences = Tensor::from_vec(values, (count as usize, STEPS, 2), &Device::Cpu)?;
    Ok((sequences, Tensor::new(labels, &Device::Cpu)?))
}
