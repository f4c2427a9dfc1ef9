//! Cases of ResNet: evaluation, one training step, statistics after it, and gradients.

use anyhow::Context;
use candle_core::{DType, Device, Tensor};
use tcmax_encoders::{BlockKind, Encoder, ResNet, ResNetConfig, Stem};
use tcmax_ops::{ParamBuilder, Params, Seed, State};

use super::case::{Case, Tolerance};
use super::network::{Network, builder, inner, names_of};

/// A file of weights that other cases use.
pub fn state_only(_: &Case) -> anyhow::Result<()> {
    Ok(())
}

/// ResNet: recordings with a classifier, or those of the features alone.
pub fn resnet(case: &Case) -> anyhow::Result<()> {
    if case.has("state.fc.weight") { with_classifier(case) } else { features(case) }
}

/// Compares `after.*` with the buffers.
pub fn check_buffers(case: &Case, params: &Params, tolerance: Tolerance) -> anyhow::Result<()> {
    let after = params.snapshot()?;
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix("after.") else { continue };
        match after.get(name) {
            Some(buffer) => case.check_within(quantity, buffer, tolerance)?,
            // PyTorch counts batches in a buffer that nothing reads.
            None => case.excuse(quantity),
        }
    }
    Ok(())
}

/// torchvision's ResNets, narrow: features and logits in evaluation, in one training step, and after it.
fn with_classifier(case: &Case) -> anyhow::Result<()> {
    let builder = builder(case);
    let spec = &tcmax_encoders::RESNET18;
    let config = config_of(case)?;
    let is_deep = config.kind == BlockKind::Bottleneck;
    let network = ResNet::new(&config, &builder)?;
    let loaded = Network::load(case, &builder, names_of(spec)?)?;
    let input = case.variable("input.x")?;
    let limit = |single: f64, deep: f64, double: f64| match (case.is_single(), is_deep) {
        (true, false) => single,
        (true, true) => deep,
        (false, _) => double,
    };
    let outputs = Tolerance::new(limit(1e-4, 5e-4, 1e-9));
    let trained = Tolerance::new(limit(1e-4, 2e-2, 1e-9));
    let gradient = limit(1e-3, 2e-2, 1e-8);
    let run = |mode: &str, train: bool, tolerance: Tolerance| -> anyhow::Result<Tensor> {
        let pooled = network.encode(&input, train)?;
        let logits = loaded.linear("fc", &pooled)?;
        case.check_within(&format!("output.pooled_{mode}"), &pooled, tolerance)?;
        case.check_within(&format!("output.logits_{mode}"), &logits, tolerance)?;
        let of_pooled = inner(&pooled, &case.tensor("input.cotangent_pooled")?)?;
        Ok((of_pooled + inner(&logits, &case.tensor("input.cotangent_logits")?)?)?)
    };
    let loss = run("eval", false, outputs)?;
    check_norms(case, &loaded, "gradnorm_eval.", &loss, limit(1e-4, 1e-4, 1e-9))?;
    let loss = run("train", true, trained)?;
    case.check_within("output.loss", &loss, Tolerance::new(10.0 * trained.largest))?;
    loaded.check_gradients(case, "grad.", &loss, |_| gradient)?;
    check_norms(case, &loaded, "gradnorm.", &loss, gradient)?;
    check_buffers(case, &loaded.params, trained)?;
    run("eval_after", false, trained).map(|_| ())
}

/// Compares the lengths of gradients.
fn check_norms(
    case: &Case,
    network: &Network,
    prefix: &str,
    loss: &Tensor,
    limit: f64,
) -> anyhow::Result<()> {
    let gradients = tcmax_ops::backward(loss)?;
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix(prefix) else { continue };
        let gradient = network.gradient(case, &gradients, name)?.to_dtype(DType::F64)?;
        let norm = gradient.sqr()?.sum_all()?.sqrt()?;
        case.check_within(quantity, &norm, Tolerance::of_largest(limit))?;
    }
    Ok(())
}

/// The layout that the configuration says.
fn config_of(case: &Case) -> anyhow::Result<ResNetConfig> {
    let config = super::network::config(case)?;
    let number = |value: &serde_json::Value| {
        value.as_u64().map(|number| number as usize).context("the configuration lacks a number")
    };
    let width = number(&config["width"])?;
    let mut blocks = [0; 4];
    for (stage, blocks) in blocks.iter_mut().enumerate() {
        *blocks = number(&config["layers"][stage])?;
    }
    let kind = match config["block"].as_str() {
        Some("Bottleneck") => BlockKind::Bottleneck,
        _ => BlockKind::Basic,
    };
    Ok(ResNetConfig {
        in_channels: number(&config["in_channels"])?,
        stem: Stem::Conv7x7,
        widths: [1, 2, 4, 8].map(|factor| factor * width),
        blocks,
        kind,
    })
}

/// Forward, backward and running statistics.
fn features(case: &Case) -> anyhow::Result<()> {
    let (network, params) = network(case)?;
    let input = case.variable("input.x")?;
    let single = case.is_single();
    let trained = Tolerance::new(if single { 1e-4 } else { 1e-9 });
    case.check("output.pooled_eval", &network.encode(&input, false)?)?;
    case.check("output.map_eval", &feature_map(&network, &input)?)?;
    let pooled = network.encode(&input, true)?;
    case.check_within("output.pooled_train", &pooled, trained)?;
    check_buffers(case, &params, trained)?;
    case.check_within("output.pooled_eval_after", &network.encode(&input, false)?, trained)?;
    let loss = (pooled * case.tensor("input.cotangent")?)?.sum_all()?;
    let gradients = tcmax_ops::backward(&loss)?;
    // As `SINGLE_GRADIENT` of the encoders' own test says.
    let whole = Tolerance::of_largest(if single { 1e-4 } else { 1e-8 });
    let length = Tolerance::of_largest(if single { 1e-4 } else { 1e-8 });
    let inputs = params.trainable().map(|(name, var)| (name, var.as_tensor().clone()));
    for (name, tensor) in inputs.chain([("input", input)]) {
        let gradient = gradients.get(&tensor);
        let gradient = gradient.ok_or_else(|| anyhow::anyhow!("{name}: no gradient arrives"))?;
        let gradient = params.to_pytorch_layout(name, gradient)?;
        if case.has(&format!("grad.{name}")) {
            case.check_within(&format!("grad.{name}"), &gradient, whole)?;
        }
        if case.has(&format!("gradnorm.{name}")) {
            let norm = gradient.to_dtype(DType::F64)?.sqr()?.sum_all()?.sqrt()?;
            case.check_within(&format!("gradnorm.{name}"), &norm, length)?;
        }
    }
    Ok(())
}

/// The last activation as PyTorch has it, frames in the batch: (B T, C, H, W).
fn feature_map(network: &ResNet, input: &Tensor) -> anyhow::Result<Tensor> {
    let images = match *input.dims() {
        [batch, channels, frames, height, width] => {
            input.transpose(1, 2)?.reshape((batch * frames, channels, height, width))?
        }
        _ => input.clone(),
    };
    Ok(network.feature_map(&images, false)?.permute((0, 3, 1, 2))?.contiguous()?)
}

fn network(case: &Case) -> anyhow::Result<(ResNet, Params)> {
    let state = state(case)?;
    let channels = |name: &str, dim| -> anyhow::Result<usize> {
        let weight = state.get(name).ok_or_else(|| anyhow::anyhow!("no weight '{name}'"))?;
        Ok(weight.dim(dim)?)
    };
    let mut widths = [0; 4];
    let mut blocks = [0; 4];
    for (stage, (width, blocks)) in widths.iter_mut().zip(&mut blocks).enumerate() {
        *width = channels(&format!("layer{}.0.conv1.weight", stage + 1), 0)?;
        let has = |b: &usize| state.contains_key(&format!("layer{}.{b}.conv1.weight", stage + 1));
        *blocks = (0..99).take_while(has).count();
    }
    let in_channels = channels("conv1.weight", 1)?;
    let config =
        ResNetConfig { in_channels, stem: Stem::Conv7x7, widths, blocks, kind: BlockKind::Basic };
    let builder = ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu);
    let network = ResNet::new(&config, &builder)?;
    let params = builder.params();
    params.load(&state)?;
    Ok((network, params))
}

/// The weights: in the file itself, or in the one beside it that the header names.
fn state(case: &Case) -> anyhow::Result<State> {
    let mut state = State::new();
    let mut put = |name: &str, tensor: &Tensor| -> anyhow::Result<()> {
        if !name.ends_with("num_batches_tracked") {
            state.insert(name.to_owned(), tensor.to_dtype(case.dtype)?);
        }
        Ok(())
    };
    let Ok(file) = case.text("state_file") else {
        for name in case.names() {
            if let Some(own) = name.strip_prefix("state.") {
                put(own, case.recorded(name)?)?;
            }
        }
        return Ok(state);
    };
    let path = case.path.with_file_name(file);
    let tensors = candle_core::safetensors::load(&path, &Device::Cpu)?;
    for (name, tensor) in tensors.iter().filter(|(name, _)| !name.starts_with("stem.")) {
        put(name, tensor)?;
    }
    // All variants share their weights but the first layer's.
    let stem = format!("stem.{}.conv1.weight", case.text("modality")?);
    if let Some(tensor) = tensors.get(&stem) {
        put("conv1.weight", tensor)?;
    }
    Ok(state)
}
