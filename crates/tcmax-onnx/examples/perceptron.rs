//! Writes a perceptron as an ONNX file, which onnxruntime and others run, and lists what is in it.
//!
//! ```text
//! cargo run -p tcmax-onnx --example perceptron [-- FILE]
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use tcmax_onnx::Graph;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| std::env::temp_dir().join("perceptron.onnx"));

    // Weights under the names that PyTorch would give them: exclusive or of two numbers of 0 and 1.
    let device = Device::Cpu;
    let weights = BTreeMap::from([
        ("hidden.weight".to_owned(), Tensor::new(&[[1f32, 1.0], [1.0, 1.0]], &device)?),
        ("hidden.bias".to_owned(), Tensor::new(&[0f32, -1.0], &device)?),
        ("out.weight".to_owned(), Tensor::new(&[[1f32, -2.0]], &device)?),
        ("out.bias".to_owned(), Tensor::new(&[0f32], &device)?),
    ]);
    let mut graph = Graph::new("exclusive or", weights);
    let x = graph.input("x", &[2])?;
    let hidden = graph.linear("hidden", &x)?;
    let hidden = graph.relu(&hidden);
    let y = graph.linear("out", &hidden)?;
    graph.output("y", &y, &[1])?;
    std::fs::write(&file, graph.into_bytes())?;

    let bytes = std::fs::read(&file)?;
    let graph = tcmax_onnx::parse(&bytes)?.graph.ok_or("the file has no graph")?;
    println!("{}: {} bytes, {}", file.display(), bytes.len(), graph.name);
    for node in &graph.node {
        println!("  {:8} {} -> {}", node.op_type, node.input.join(", "), node.output.join(", "));
    }
    for weight in &graph.initializer {
        println!("  weight   {} {:?}", weight.name, weight.dims);
    }
    println!(
        "In Python: onnxruntime.InferenceSession(FILE).run(None, {{\"x\": x}}) with x (N, 2) in float32"
    );
    Ok(())
}
