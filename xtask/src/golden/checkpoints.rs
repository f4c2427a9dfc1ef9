//! `checkpoint_keys.json`: the names and shapes of the tensors of published models.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use candle_core::{DType, Device};
use serde::Deserialize;
use tcmax_encoders::{
    BERT, CLIP_IMAGE, CLIP_TEXT, DISTILBERT, EncoderSpec, Input, InputKind, RESNET18, RESNET34,
    RESNET50, ROBERTA, UpstreamName, VIT, VIT_TORCHVISION,
};
use tcmax_ops::{ParamBuilder, Seed};
use tcmax_registry::Table;

/// The file's name.
pub const FILE: &str = "checkpoint_keys.json";

/// What the beginning of a model's name says that it is. Sizes are those of the encoders' defaults.
const MODELS: &[(&str, &[&EncoderSpec])] = &[
    ("torchvision resnet18", &[&RESNET18]),
    ("torchvision resnet34", &[&RESNET34]),
    ("torchvision resnet50", &[&RESNET50]),
    ("torchvision vit_b_16", &[&VIT_TORCHVISION]),
    ("transformers ViTModel base/16 224", &[&VIT]),
    ("transformers CLIPModel ViT-B/32", &[&CLIP_TEXT, &CLIP_IMAGE]),
    ("transformers BertModel base", &[&BERT]),
    ("transformers DistilBertModel base", &[&DISTILBERT]),
    ("transformers RobertaModel base", &[&ROBERTA]),
];

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

#[derive(Deserialize)]
struct Listed {
    models: BTreeMap<String, Shapes>,
}

/// The models of a folder's file, by name; none without such a file.
pub fn models(folder: &Path) -> anyhow::Result<BTreeMap<String, Shapes>> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let bytes = std::fs::read(&path)?;
    let listed: Listed =
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
    Ok(listed.models)
}

/// Compares a model's tensors with the parameters of the encoders that are made of it; what was compared, for
/// people.
pub fn check(model: &str, tensors: &Shapes) -> anyhow::Result<String> {
    let known = MODELS.iter().find(|(start, _)| model.starts_with(start));
    let (_, specs) = known.context("unknown model")?;
    // The tensors that every encoder made of the model ignores.
    let mut ignored: Vec<&str> = tensors.keys().map(String::as_str).collect();
    for spec in *specs {
        let left = compare(spec, tensors).with_context(|| spec.name)?;
        ignored.retain(|name| left.contains(name));
    }
    let loaded = tensors.len() - ignored.len();
    Ok(format!("{loaded} names and shapes, {} ignored", ignored.len()))
}

/// Compares the tensors of one encoder; the names of those that it ignores.
fn compare<'a>(spec: &EncoderSpec, tensors: &'a Shapes) -> anyhow::Result<Vec<&'a str>> {
    let names = spec.pretrained.context("nobody publishes its weights")?.names;
    let mut wanted = parameters(spec, tensors.contains_key("pooler.dense.weight"))?;
    let (mut ignored, mut problems) = (Vec::new(), Vec::new());
    for (name, shape) in tensors {
        match names(name) {
            UpstreamName::Ignored => ignored.push(name.as_str()),
            UpstreamName::Parameter(own) => match wanted.remove(&own) {
                None => problems.push(format!("'{name}' is for no parameter ('{own}')")),
                Some(of_own) if of_own != *shape => {
                    problems.push(format!("'{name}' is {shape:?}, the parameter {of_own:?}"));
                }
                Some(_) => {}
            },
        }
    }
    problems.extend(wanted.keys().map(|own| format!("'{own}' has no tensor")));
    let shown = problems.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
    match problems.len() {
        0 => Ok(ignored),
        count => bail!("{count} problems: {shown}"),
    }
}

/// The parameters and buffers of an encoder of the default size, in PyTorch's shapes.
fn parameters(spec: &EncoderSpec, has_pooler: bool) -> anyhow::Result<Shapes> {
    let pooling = has_pooler.then(|| ("pooling".to_owned(), "pooler".into()));
    let options = spec.options.complete(&Table::from_iter(pooling))?;
    let input = match spec.takes(InputKind::Image) {
        true => Input { kind: InputKind::Image, shape: &[3, 224, 224] },
        false => Input { kind: InputKind::Tokens, shape: &[64] },
    };
    // Only shapes are asked for: the narrowest float takes the least memory.
    let builder = ParamBuilder::new(Seed::new(0), DType::BF16, &Device::Cpu);
    spec.build(&options, input, &builder)?;
    let params = builder.params();
    let all = params.trainable().chain(params.buffers());
    // The counter of dropout's draws is in no file.
    let all = all.filter(|(name, _)| *name != "dropout.steps");
    Ok(all
        .map(|(name, var)| (name.to_owned(), params.pytorch_shape(name, var).into_dims()))
        .collect())
}
