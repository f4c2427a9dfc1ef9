//! Transformers with their published sizes, and the operations they are made of.

use candle_core::{Tensor, Var};
use tcmax_encoders::{DistilBert, DistilBertOptions, Encoder, Vit, VitOptions};
use tcmax_ops::{AttentionMask, Gelu, Init, Linear};

use crate::{Work, builder, device, in_precision, random};

/// Examples of a batch.
const BATCH: usize = 8;
/// Tokens of a text.
const TOKENS: usize = 128;
/// The width of a token in BERT's base model, and between the layers of its perceptrons.
const WIDTH: usize = 768;
const HIDDEN: usize = 3072;
const HEADS: usize = 12;
/// Words of DistilBERT.
const VOCABULARY: usize = 30_522;

/// A transformer with its published sizes, and a batch of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// ViT-B/32 on 224 x 224.
    VitB32,
    /// The same on 64 images.
    VitB32Of64,
    /// DistilBERT on 128 tokens.
    DistilBert,
    /// DistilBERT on texts of 16, 32, ... and 128 tokens.
    DistilBertTexts,
}

/// One operation on eight texts of 128 tokens, with the sizes of BERT's base model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Linear { inputs: usize, outputs: usize },
    Attention,
    LayerNorm,
    Gelu,
    Embedding,
}

/// Forward and backward of a transformer, without dropout.
pub(crate) fn network(network: Network) -> tcmax_encoders::Result<Work> {
    let builder = builder();
    let (encoder, input): (Box<dyn Encoder>, Tensor) = match network {
        Network::VitB32 | Network::VitB32Of64 => {
            let batch = if network == Network::VitB32 { BATCH } else { 64 };
            let options = VitOptions { patch: 32, ..VitOptions::default() };
            let input = random("input", &[batch, 3, 224, 224])?.as_detached_tensor();
            (Box::new(Vit::new(&options, 3, [224, 224], &builder)?), input)
        }
        Network::DistilBert | Network::DistilBertTexts => {
            let options = DistilBertOptions { dropout: 0.0, ..DistilBertOptions::default() };
            let equal = network == Network::DistilBert;
            let is_token = |at: usize| equal || at % TOKENS < (at / TOKENS + 1) * TOKENS / BATCH;
            let of = |(at, id): (usize, usize)| if is_token(at) { id as f32 } else { -1.0 };
            let input = ids().enumerate().map(of).collect();
            let input = Tensor::from_vec::<_, f32>(input, (BATCH, TOKENS), device())?;
            (Box::new(DistilBert::new(&options, &builder)?), input)
        }
    };
    Ok(Box::new(move || {
        let features = in_precision(|| encoder.encode(&input, true))?;
        tcmax_ops::backward(&features.sum_all()?)?;
        Ok(())
    }))
}

/// Forward and backward of one operation, of a gradient of ones.
pub(crate) fn part(part: Part) -> tcmax_encoders::Result<Work> {
    const ROWS: usize = BATCH * TOKENS;
    let builder = builder();
    match part {
        Part::Linear { inputs, outputs } => {
            let layer = Linear::new(inputs, outputs, &builder)?;
            let x = random("x", &[BATCH, TOKENS, inputs])?;
            Ok(Box::new(move || {
                tcmax_ops::backward(&layer.forward(x.as_tensor())?)?;
                Ok(())
            }))
        }
        Part::Attention => {
            let inputs = ["q", "k", "v"].map(|name| random(name, &[BATCH, TOKENS, WIDTH]));
            let [q, k, v] = inputs;
            let (q, k, v) = (q?, k?, v?);
            let mask = AttentionMask::default();
            Ok(Box::new(move || {
                let [q, k, v] = [&q, &k, &v].map(Var::as_tensor);
                tcmax_ops::backward(&tcmax_ops::attention(q, k, v, HEADS, &mask)?)?;
                Ok(())
            }))
        }
        Part::LayerNorm => {
            let x = random("x", &[ROWS, WIDTH])?;
            let weight = builder.param("weight", WIDTH, Init::Const(1.0))?;
            let bias = builder.param("bias", WIDTH, Init::Const(0.0))?;
            Ok(Box::new(move || {
                tcmax_ops::backward(&tcmax_ops::layer_norm(x.as_tensor(), &weight, &bias, 1e-5)?)?;
                Ok(())
            }))
        }
        Part::Gelu => {
            let x = random("x", &[ROWS, HIDDEN])?;
            Ok(Box::new(move || {
                tcmax_ops::backward(&tcmax_ops::gelu(x.as_tensor(), Gelu::Exact)?)?;
                Ok(())
            }))
        }
        Part::Embedding => {
            let table = random("table", &[VOCABULARY, WIDTH])?;
            let ids = Tensor::from_iter(ids().map(|id| id as u32), device())?;
            Ok(Box::new(move || {
                tcmax_ops::backward(&tcmax_ops::embedding(table.as_tensor(), &ids)?)?;
                Ok(())
            }))
        }
    }
}

/// The ids of a batch of texts.
fn ids() -> impl Iterator<Item = usize> {
    (0..BATCH * TOKENS).map(|at| at * 37 % 30_000)
}
