//! Every fusion head on two modalities: its size, and whether it can be asked for one modality's logits.
//!
//! ```text
//! cargo run -p tcmax-fusion --example heads
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::{DType, Device, Tensor};
use tcmax_fusion::heads;
use tcmax_ops::{ParamBuilder, Seed};
use tcmax_registry::Table;

const WIDTHS: [usize; 2] = [64, 64];
const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let features = WIDTHS.map(|width| Tensor::ones((4, width), DType::F32, &device));
    let features = features.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
    println!("{:10}  {:>10}  {:12}  {:>9}  what it does", "head", "parameters", "for", "additive");
    for spec in heads().iter() {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &device);
        let head = spec.build(&Table::new(), &WIDTHS, CLASSES, &builder)?;
        assert_eq!(head.logits(&features)?.dims(), [4, CLASSES]);
        println!(
            "{:10}  {:10}  {:12}  {:>9}  {}",
            spec.name,
            builder.params().num_trainable(),
            format!("{} modalities", spec.modalities),
            if spec.additive { "yes" } else { "no" },
            spec.description
        );
    }
    println!(
        "The total correlation of an additive head's logits is exact over all tuples of a batch, and it has          logits of each modality."
    );
    Ok(())
}
