//! Cases of networks on sequences: recurrent, convolution, transformer.

use anyhow::Context;
use candle_core::{DType, Tensor};
use serde_json::Value;
use tcmax_encoders::{
    Convolution, ConvolutionBlock, HiddenActivation, Recurrent, RecurrentOptions, RecurrentPooling,
    SequenceTransformerOptions, Steps, TransformerStack,
};
use tcmax_ops::RecurrentCell;

use super::case::{Case, Tolerance};
use super::network::{Network, builder, config, inner, same_name};

fn usual(case: &Case) -> Tolerance {
    Tolerance::new(if case.is_single() { 1e-5 } else { 1e-9 })
}

fn number(config: &Value, name: &str) -> anyhow::Result<usize> {
    let number = config[name].as_u64();
    Ok(number.with_context(|| format!("the configuration has no '{name}'"))? as usize)
}

fn flag(config: &Value, name: &str) -> anyhow::Result<bool> {
    config[name].as_bool().with_context(|| format!("the configuration has no '{name}'"))
}

/// The mean over the steps that are there.
fn mean(x: &Tensor, there: &Tensor) -> anyhow::Result<Tensor> {
    let there = there.to_dtype(x.dtype())?;
    let sum = x.broadcast_mul(&there.unsqueeze(2)?)?.sum(1)?;
    Ok(sum.broadcast_div(&there.sum_keepdim(1)?)?)
}

/// GRU and LSTM.
pub fn recurrent(case: &Case) -> anyhow::Result<()> {
    let config = config(case)?;
    let cell = if case.name.starts_with("gru") { RecurrentCell::Gru } else { RecurrentCell::Lstm };
    let options = RecurrentOptions {
        units: number(&config, "hidden_size")?,
        layers: number(&config, "num_layers")?,
        bidirectional: flag(&config, "bidirectional")?,
        pooling: RecurrentPooling::Mean,
    };
    let builder = builder(case);
    let network = Recurrent::new(cell, &options, number(&config, "input_size")?, &builder)?;
    let loaded = Network::load(case, &builder, same_name)?;
    let input = case.variable("input.x")?;
    let steps = Steps::of_lengths(&input, &case.whole("input.lengths")?)?;
    let outputs = network.run(&steps)?;
    let mean = mean(&outputs.steps, &steps.there)?;
    let of_states = inner(&outputs.last, &case.tensor("input.cotangent_h")?)?;
    let loss = (inner(&mean, &case.tensor("input.cotangent")?)? + of_states)?;
    let mut all = vec![("output", &outputs.steps), ("h_n", &outputs.last), ("mean", &mean)];
    all.extend(outputs.cells.as_ref().map(|cells| ("c_n", cells)));
    all.push(("loss", &loss));
    for (name, output) in all {
        case.check_within(&format!("output.{name}"), output, usual(case))?;
    }
    loaded.check_gradients(case, "grad.", &loss, |_| usual(case).largest)
}

/// Temporal convolutions.
pub fn convolution(case: &Case) -> anyhow::Result<()> {
    let config = config(case)?;
    let channels = config["channels"].as_array().context("no channels")?;
    let blocks = config["blocks"].as_array().context("no blocks")?;
    let mut layout = Vec::with_capacity(blocks.len());
    for (block, channels) in blocks.iter().zip(&channels[1..]) {
        layout.push(ConvolutionBlock {
            channels: channels.as_u64().context("channels are no number")? as usize,
            kernel: number(block, "kernel")?,
            stride: number(block, "stride")?,
            padding: number(block, "padding")?,
            dilation: number(block, "dilation")?,
        });
    }
    let input = case.variable("input.x")?;
    let builder = builder(case);
    let network = Convolution::new(&layout, input.dim(2)?, &builder)?;
    let loaded = Network::load(case, &builder, same_name)?;
    let steps = Steps::of_lengths(&input, &case.whole("input.lengths")?)?;
    let cotangent = case.tensor("input.cotangent")?;
    // A bias before a norm of the batch has no gradient but for rounding.
    let is_single = case.is_single();
    let trained = move |name: &str| match name.starts_with("conv") && name.ends_with("bias") {
        true if is_single => 2e-3,
        _ => usual_of(is_single),
    };
    for (mode, train) in [("eval", false), ("train", true)] {
        let result = network.run(&steps, train)?;
        let mean = mean(&result.x, &result.there)?;
        case.check_within(&format!("output.y_{mode}"), &result.x, usual(case))?;
        case.check_within(&format!("output.mean_{mode}"), &mean, usual(case))?;
        let lengths = result.there.to_dtype(DType::F64)?.sum(1)?;
        case.check_within("output.lengths", &lengths, Tolerance::absolute(0.0))?;
        let loss = inner(&mean, &cotangent)?;
        if train {
            case.check_within("output.loss", &loss, usual(case))?;
            loaded.check_gradients(case, "grad.", &loss, trained)?;
        } else {
            loaded.check_gradients(case, "grad_eval.", &loss, |_| usual_of(is_single))?;
        }
    }
    super::encoders::check_buffers(case, &loaded.params, usual(case))
}

fn usual_of(is_single: bool) -> f64 {
    if is_single { 1e-5 } else { 1e-9 }
}

/// PyTorch's transformer encoder.
pub fn transformer(case: &Case) -> anyhow::Result<()> {
    let config = config(case)?;
    let options = SequenceTransformerOptions {
        width: number(&config, "d_model")?,
        layers: number(&config, "num_layers")?,
        heads: number(&config, "nhead")?,
        hidden: number(&config, "dim_feedforward")?,
        activation: match config["activation"].as_str() {
            Some("relu") => HiddenActivation::Relu,
            _ => HiddenActivation::Gelu,
        },
        norm_first: flag(&config, "norm_first")?,
        dropout: 0.0,
    };
    let builder = builder(case);
    let stack = TransformerStack::new(&options, flag(&config, "final_norm")?, &builder)?;
    let loaded = Network::load(case, &builder, same_name)?;
    let input = case.variable("input.x")?;
    let ignored = case.recorded("input.key_padding_mask")?.to_dtype(DType::F64)?;
    let there = (1.0 - ignored)?;
    let y = stack.forward(&input, &there, true)?;
    let mean = mean(&y, &there)?;
    let loss = inner(&mean, &case.tensor("input.cotangent")?)?;
    let outputs = Tolerance::new(if case.is_single() { 3e-5 } else { 1e-9 });
    for (name, output) in [("y", &y), ("mean", &mean), ("loss", &loss)] {
        case.check_within(&format!("output.{name}"), output, outputs)?;
    }
    let is_single = case.is_single();
    loaded.check_gradients(case, "grad.", &loss, |_| if is_single { 3e-5 } else { 1e-9 })
}
