//! What is in a file of weights: the name, shape and size of every tensor, without running anything in it.
//!
//! ```text
//! cargo run -p tcmax-pretrained --example contents [-- WEIGHTS]
//! ```
//!
//! WEIGHTS is a safetensors file, a `.pth` of PyTorch, a folder, or `hub:owner/name`, which is downloaded. Without it
//! a small file is written first.

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use candle_core::{DType, Device, Tensor};
use tcmax_pretrained::{Source, Tensors};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().nth(1);
    let weights = match given {
        Some(weights) => weights,
        None => {
            let file = std::env::temp_dir().join("contents.safetensors");
            let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F16, &Device::Cpu);
            let saved = [("fc.weight", tensor(&[10, 64])?), ("fc.bias", tensor(&[10])?)];
            candle_core::safetensors::save(&saved.into(), &file)?;
            file.display().to_string()
        }
    };
    let files = Source::parse(&weights)?.open()?;
    for file in &files.weights {
        println!("{}", file.display());
    }
    let tensors = Tensors::open(&files.weights)?;
    let mut parameters = 0;
    for name in tensors.names() {
        match (tensors.shape(name), tensors.problem(name)) {
            (_, Some(problem)) => println!("  {name}: {problem}"),
            (Some(shape), None) => {
                let count: usize = shape.iter().product();
                parameters += count;
                println!("  {name}: {shape:?}, {count} numbers");
            }
            (None, None) => {}
        }
    }
    println!("{parameters} numbers in {} tensors", tensors.names().len());
    Ok(())
}
