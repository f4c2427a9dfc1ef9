//! Cases of ViT, CLIP and the BERT family.

use anyhow::Context;
use candle_core::{DType, Tensor};
use tcmax_encoders::{
    BERT, Bert, BertOptions, CLIP_IMAGE, CLIP_TEXT, ClipImage, ClipImageOptions, ClipText,
    ClipTextOptions, DISTILBERT, DistilBert, DistilBertOptions, ROBERTA, Roberta, RobertaOptions,
    TextPooling, Tokens, UpstreamName, VIT, VIT_TORCHVISION, Vit, VitOptions,
};
use tcmax_ops::{
    GroupOptions, Linear, backward, grad_norm, log_sum_exp, optimisers, scale_gradients,
};
use tcmax_registry::Table;

use super::case::{Case, Tolerance};
use super::network::{Network, builder, config, inner, names_of, options};

/// Of outputs.
pub(super) fn outputs(case: &Case) -> Tolerance {
    Tolerance::new(if case.is_single() { 3e-5 } else { 1e-9 })
}

/// Of gradients. Those of key biases are 0 but for rounding: the softmax does not see them.
pub(super) fn gradients(case: &Case) -> impl Fn(&str) -> f64 + use<> {
    let is_single = case.is_single();
    move |name| {
        let key = ["key.bias", "k_lin.bias", "k_proj.bias", "in_proj_bias"];
        match (is_single, key.iter().any(|key| name.ends_with(key))) {
            (true, true) => 1e-3,
            (true, false) => 3e-5,
            (false, _) => 1e-9,
        }
    }
}

fn given(case: &Case, ids: &str, mask: &str) -> anyhow::Result<Tokens> {
    let ids = case.recorded(ids)?.to_dtype(DType::U32)?;
    let there = match case.has(mask) {
        true => case.recorded(mask)?.to_dtype(DType::F32)?,
        false => ids.ones_like()?.to_dtype(DType::F32)?,
    };
    Ok(Tokens { ids, there })
}

/// Vectors, means, first tokens and pooled ones of a text encoder, and the gradients of each.
fn text(
    case: &Case,
    network: &Network,
    pool: impl Fn(TextPooling) -> anyhow::Result<Tensor>,
) -> anyhow::Result<()> {
    let cotangent = case.tensor("input.cotangent")?;
    for (output, prefix, pooling) in [
        ("output.mean", "grad_mean.", TextPooling::Mean),
        ("output.cls", "grad_cls.", TextPooling::Cls),
        ("output.pooler_output", "grad_pooler.", TextPooling::Pooler),
    ] {
        let has_gradients = case.names().iter().any(|name| name.starts_with(prefix));
        if !case.has(output) && !has_gradients {
            continue;
        }
        let pooled = pool(pooling)?;
        if case.has(output) {
            case.check_within(output, &pooled, outputs(case))?;
        }
        if has_gradients {
            let loss = inner(&pooled, &cotangent)?;
            network.check_gradients(case, prefix, &loss, gradients(case))?;
        }
    }
    Ok(())
}

fn pooler() -> (&'static str, toml::Value) {
    ("pooling", "pooler".into())
}

/// BERT, also under old names and with gaps in the mask.
pub fn bert(case: &Case) -> anyhow::Result<()> {
    let more = [pooler(), ("dropout", 0.0.into())];
    let options: BertOptions = options(case, &BERT, &more)?;
    let builder = builder(case);
    let bert = Bert::new(&options, &builder)?;
    let network = Network::load(case, &builder, names_of(&BERT)?)?;
    let tokens = given(case, "input.input_ids", "input.attention_mask")?;
    let segments = case.recorded("input.token_type_ids")?.to_dtype(DType::U32)?;
    let hidden = || bert.hidden(&tokens, &tokens.positions()?, Some(&segments), false);
    case.check_within("output.last_hidden_state", &hidden()?, outputs(case))?;
    text(case, &network, |pooling| Ok(bert.pool(&hidden()?, &tokens, pooling)?))
}

/// RoBERTa.
pub fn roberta(case: &Case) -> anyhow::Result<()> {
    let more = [pooler(), ("dropout", 0.0.into())];
    let options: RobertaOptions = options(case, &ROBERTA, &more)?;
    let builder = builder(case);
    let roberta = Roberta::new(&options, &builder)?;
    let network = Network::load(case, &builder, names_of(&ROBERTA)?)?;
    let tokens = given(case, "input.input_ids", "input.attention_mask")?;
    case.check_within(
        "stage.position_ids",
        &roberta.positions(&tokens)?,
        Tolerance::absolute(0.0),
    )?;
    case.check_within("output.last_hidden_state", &roberta.hidden(&tokens, false)?, outputs(case))?;
    text(case, &network, |pooling| {
        Ok(roberta.pool(&roberta.hidden(&tokens, false)?, &tokens, pooling)?)
    })
}

/// DistilBERT.
pub fn distilbert(case: &Case) -> anyhow::Result<()> {
    let options: DistilBertOptions = options(case, &DISTILBERT, &[("dropout", 0.0.into())])?;
    let builder = builder(case);
    let distilbert = DistilBert::new(&options, &builder)?;
    let network = Network::load(case, &builder, names_of(&DISTILBERT)?)?;
    let tokens = given(case, "input.input_ids", "input.attention_mask")?;
    let hidden = distilbert.hidden(&tokens, false)?;
    case.check_within("output.last_hidden_state", &hidden, outputs(case))?;
    text(case, &network, |pooling| {
        Ok(distilbert.pool(&distilbert.hidden(&tokens, false)?, &tokens, pooling)?)
    })
}

/// transformers' ViT, with a classifier, or at another size than its positions are for.
pub fn vit(case: &Case) -> anyhow::Result<()> {
    let has_pooler = case.has("output.pooler_output");
    let pooling = if has_pooler { "pooler" } else { "cls" };
    let options: VitOptions = options(case, &VIT, &[("pooling", pooling.into())])?;
    let input = case.variable("input.x")?;
    let builder = builder(case);
    let vit = Vit::new(&options, input.dim(1)?, [options.image_size; 2], &builder)?;
    let network = Network::load(case, &builder, names_of(&VIT)?)?;
    let hidden = vit.hidden(&input, false)?;
    let pooled = vit.pool(&hidden)?;
    let loss = if has_pooler {
        case.check_within("output.last_hidden_state", &hidden, outputs(case))?;
        case.check_within("output.pooler_output", &pooled, outputs(case))?;
        let pooled = inner(&pooled, &case.tensor("input.cotangent_pooled")?)?;
        (inner(&hidden, &case.tensor("input.cotangent")?)? + pooled)?
    } else {
        let logits = network.linear("classifier", &pooled)?;
        case.check_within("output.logits", &logits, outputs(case))?;
        inner(&logits, &case.tensor("input.cotangent_logits")?)?
    };
    check_loss(case, &loss)?;
    network.check_gradients(case, "grad.", &loss, gradients(case))
}

/// A loss is a sum of many numbers that cancel: relative to what is summed.
pub(super) fn check_loss(case: &Case, loss: &Tensor) -> anyhow::Result<()> {
    let largest = if case.is_single() { 3e-4 } else { 1e-9 };
    case.check_within("output.loss", loss, Tolerance::new(largest))
}

/// torchvision's ViT, also under the names of older files.
pub fn vit_torchvision(case: &Case) -> anyhow::Result<()> {
    let config = config(case)?;
    let number = |name: &str| -> anyhow::Result<usize> {
        Ok(config[name].as_u64().with_context(|| format!("the configuration has no '{name}'"))?
            as usize)
    };
    let options = VitOptions {
        width: number("hidden_dim")?,
        layers: number("num_layers")?,
        heads: number("num_heads")?,
        hidden: number("mlp_dim")?,
        patch: number("patch_size")?,
        image_size: number("image_size")?,
        ..VitOptions::default()
    };
    let input = case.variable("input.x")?;
    let builder = builder(case);
    let size = [options.image_size; 2];
    let vit = Vit::torchvision(&options, input.dim(1)?, size, &builder)?;
    let network = Network::load(case, &builder, names_of(&VIT_TORCHVISION)?)?;
    let tokens = vit.hidden(&input, false)?;
    let class = tokens.narrow(1, 0, 1)?.squeeze(1)?;
    let logits = network.linear("heads.head", &class)?;
    for (name, output) in [("tokens", &tokens), ("cls", &class), ("logits", &logits)] {
        case.check_within(&format!("output.{name}"), output, outputs(case))?;
    }
    let of_logits = inner(&logits, &case.tensor("input.cotangent_logits")?)?;
    let loss = (inner(&tokens, &case.tensor("input.cotangent")?)? + of_logits)?;
    check_loss(case, &loss)?;
    network.check_gradients(case, "grad.", &loss, gradients(case))
}

/// Both of CLIP's towers.
pub fn clip(case: &Case) -> anyhow::Result<()> {
    let text_options: ClipTextOptions = options(case, &CLIP_TEXT, &[])?;
    let image_options: ClipImageOptions = options(case, &CLIP_IMAGE, &[])?;
    let pixels = case.variable("input.pixel_values")?;
    let builder = builder(case);
    let text = ClipText::new(&text_options, &builder)?;
    let size = [image_options.image_size; 2];
    let image = ClipImage::new(&image_options, pixels.dim(1)?, size, &builder)?;
    let network = Network::load(case, &builder, both_towers)?;
    let tokens = given(case, "input.input_ids", "input.attention_mask")?;
    let ends = text.ends(&tokens)?;
    case.check_within("output.text_eos_index", &ends, Tolerance::absolute(0.0))?;
    let text_hidden = text.hidden(&tokens)?;
    let text_pooled = text.pool(&text_hidden, &tokens)?;
    let image_hidden = image.hidden(&pixels)?;
    let image_pooled = image.pool(&image_hidden)?;
    let unit = |x: Tensor| -> anyhow::Result<Tensor> {
        Ok(x.broadcast_div(&x.sqr()?.sum_keepdim(1)?.sqrt()?)?)
    };
    let text_embeds = unit(text.project(&text_pooled)?)?;
    let image_embeds = unit(image.project(&image_pooled)?)?;
    let scale = network.other("logit_scale")?.exp()?;
    let logits = image_embeds.matmul(&text_embeds.t()?)?.broadcast_mul(&scale)?;
    let diagonal: Vec<u32> = (0..logits.dim(0)? as u32).collect();
    let by_row = cross_entropy(&logits, &diagonal)?;
    let by_column = cross_entropy(&logits.t()?.contiguous()?, &diagonal)?;
    let loss = ((by_row + by_column)? / 2.0)?;
    let total = (&loss
        + inner(&image_embeds, &case.tensor("input.cotangent_image")?)?
        + inner(&text_embeds, &case.tensor("input.cotangent_text")?)?)?;
    for (name, output) in [
        ("text_last_hidden", &text_hidden),
        ("text_pooled", &text_pooled),
        ("text_embeds", &text_embeds),
        ("vision_last_hidden", &image_hidden),
        ("vision_pooled", &image_pooled),
        ("image_embeds", &image_embeds),
        ("logits_per_image", &logits),
        ("loss", &loss),
        ("loss_total", &total),
    ] {
        case.check_within(&format!("output.{name}"), output, outputs(case))?;
    }
    network.check_gradients(case, "grad.", &total, gradients(case))
}

/// Tensors of either tower.
fn both_towers(name: &str) -> UpstreamName {
    for spec in [&CLIP_TEXT, &CLIP_IMAGE] {
        if let Some(published) = spec.pretrained
            && let UpstreamName::Parameter(name) = (published.names)(name)
        {
            return UpstreamName::Parameter(name);
        }
    }
    UpstreamName::Ignored
}

/// The mean cross-entropy of logits (B, C).
fn cross_entropy(logits: &Tensor, labels: &[u32]) -> anyhow::Result<Tensor> {
    let labels = Tensor::from_vec(labels.to_vec(), (labels.len(), 1), logits.device())?;
    let right = logits.gather(&labels, 1)?.squeeze(1)?;
    Ok((log_sum_exp(logits, 1)? - right)?.mean_all()?)
}

/// Steps of AdamW on BERT and a classifier of the first token, with warm-up, decay and clipping.
pub fn training(case: &Case) -> anyhow::Result<()> {
    let more = [pooler(), ("dropout", 0.0.into())];
    let options: BertOptions = options(case, &BERT, &more)?;
    let builder = builder(case);
    let bert = Bert::new(&options, &builder)?;
    let classes = case.recorded("state.head.weight")?.dim(0)?;
    let head = Linear::new(options.width, classes, &builder.pp("head"))?;
    let network = Network::load(case, &builder, names_of(&BERT)?)?;
    let params = &network.params;
    let number = |key: &str| case.number::<f64>(key);
    let (rate, total, warm_up) = (number("lr")?, number("total_steps")?, number("warmup_steps")?);
    let decay = [("weight-decay".to_owned(), number("weight_decay")?.into())];
    let mut optimiser = optimisers().get("adamw")?.build(&Table::from_iter(decay), params)?;
    let undecayed = |name: &str| name.ends_with("bias") || name.ends_with("LayerNorm.weight");
    let groups: Vec<GroupOptions> = params
        .trainable()
        .filter(|(name, _)| undecayed(name))
        .map(|(name, _)| GroupOptions {
            prefix: name.to_owned(),
            weight_decay: Some(0.0),
            ..GroupOptions::default()
        })
        .collect();
    optimiser.set_groups(&groups)?;
    let tokens = given(case, "input.input_ids", "input.attention_mask")?;
    let labels = case.whole("input.label")?;
    let (mut losses, mut norms, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for step in (0..total as usize).map(|step| step as f64) {
        let up = step / warm_up;
        let down = (total - step) / (total - warm_up);
        rates.push(rate * up.min(down));
        let hidden = bert.hidden(&tokens, &tokens.positions()?, None, true)?;
        let class = bert.pool(&hidden, &tokens, TextPooling::Cls)?;
        let loss = cross_entropy(&head.forward(&class)?, &labels)?;
        let mut gradients = backward(&loss)?;
        let norm = grad_norm(params, &gradients)?;
        // PyTorch rounds the norm up.
        let factor = (number("max_norm")? / (norm + 1e-6)).min(1.0);
        scale_gradients(params, &mut gradients, factor)?;
        optimiser.set_learning_rate(rates[rates.len() - 1]);
        optimiser.step(&gradients)?;
        losses.push(tcmax_ops::to_scalar_f64(&loss)?);
        norms.push(norm);
    }
    case.check_values("output.lr", &rates)?;
    case.check_values("output.loss", &losses)?;
    case.check_values("output.gradnorm", &norms)?;
    let after = params.snapshot()?;
    let limit = if case.is_single() { 1e-5 } else { 1e-8 };
    for quantity in case.names() {
        let Some(name) = quantity.strip_prefix("after.") else { continue };
        // In single precision AdamW makes steps of the rounding of gradients that are 0.
        if case.is_single() && name.ends_with("key.bias") {
            case.excuse(quantity);
            continue;
        }
        let got = after.get(name).with_context(|| format!("no parameter '{name}'"))?;
        case.check_within(quantity, got, Tolerance::new(limit))?;
    }
    Ok(())
}
