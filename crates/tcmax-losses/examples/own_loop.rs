//! Joint training and TCMax in a training loop of one's own: one modality is easy, the other is noisy.
//!
//! ```text
//! cargo run -p tcmax-losses --example own_loop
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::{D, DType, Device, Tensor};
use rand_distr::{Distribution, Normal};
use tcmax_estimators::Labels;
use tcmax_fusion::CONCAT;
use tcmax_losses::{cross_entropy, tcmax};
use tcmax_ops::{ParamBuilder, Seed, Sgd, SgdOptions, backward};
use tcmax_registry::Table;

const CLASSES: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, labels) = examples(200, 1)?;
    let (test, wanted) = examples(2_000, 2)?;
    println!("method  fused %  easy %  noisy %");
    for name in ["joint", "tcmax"] {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        let head = CONCAT.build(&Table::new(), &[CLASSES, CLASSES], CLASSES, &builder)?;
        let options = SgdOptions { learning_rate: 0.05, ..SgdOptions::default() };
        let mut sgd = Sgd::new(&builder.params(), options)?;
        for _ in 0..100 {
            let loss = match name {
                "joint" => cross_entropy(&head.logits(&train)?, &labels)?,
                _ => tcmax(head.as_ref(), &train, &labels)?,
            };
            sgd.step(&backward(&loss)?)?;
        }
        let own = head.modality_logits(&test)?;
        let right = [&head.logits(&test)?, &own[0], &own[1]].map(|f| accuracy(f, &wanted));
        let [fused, easy, noisy] = right;
        println!("{name:6}  {:7.1}  {:6.1}  {:7.1}", fused?, easy?, noisy?);
    }
    Ok(())
}

/// Features of two modalities, each the class as one hot entry in noise of its own, and the labels.
fn examples(count: usize, seed: u64) -> Result<([Tensor; 2], Labels), Box<dyn std::error::Error>> {
    let mut rng = Seed::new(seed).rng();
    let classes: Vec<u32> = (0..count).map(|example| (example % CLASSES) as u32).collect();
    let mut modality = |deviation: f32| -> Result<Tensor, Box<dyn std::error::Error>> {
        let noise = Normal::new(0f32, deviation)?;
        let entry = |class: u32, column: usize| f32::from(u8::from(class as usize == column));
        let mut values = Vec::with_capacity(count * CLASSES);
        for &class in &classes {
            values.extend((0..CLASSES).map(|column| entry(class, column) + noise.sample(&mut rng)));
        }
        Ok(Tensor::from_vec(values, (count, CLASSES), &Device::Cpu)?)
    };
    let features = [modality(0.4)?, modality(0.8)?];
    Ok((features, Labels::new(&classes, CLASSES, &Device::Cpu)?))
}

/// The share of examples with the largest logit at their class, in percent.
fn accuracy(logits: &Tensor, labels: &Labels) -> Result<f32, Box<dyn std::error::Error>> {
    let right = logits.argmax(D::Minus1)?.eq(&labels.tensor()?.to_dtype(DType::U32)?)?;
    Ok(100.0 * right.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?)
}
