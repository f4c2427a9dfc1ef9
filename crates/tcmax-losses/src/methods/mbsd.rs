//! Modality balance by self-distillation (MBSD): modalities that disagree on an example are drawn together.
//!
//! For two modalities and every example, with o_m the logits of each, p_m = softmax(o_m), S and q the larger and the
//! smaller of p_1\[y\] and p_2\[y\],
//!
//! ```text
//! w  = S - q   if one of them predicts y, else 0
//! RS = 1/C sum_c (o_1[c] - o_2[c])^2
//! K  = q (ln q - S)
//! L  = CE(o, y) + CE(o_1, y) + CE(o_2, y) + mean (w RS) + mean (w K)
//! ```
//!
//! Gradient flows through w, S and q. Of more modalities every CE(o_m) counts once, the terms in w are averaged
//! over the pairs, and RS is that of the probabilities p in place of the logits, as in BalanceBenchmark.
//!
//! The option `as`: K above is `code` (the default), where a divergence that expects ln S is handed S; `paper` is the
//! divergence that was meant, K = q (ln q - ln S).
//!
//! Source: BalanceBenchmark (arXiv 2502.10816) and its code, under this name.

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{log_sum_exp, softmax, sum_of};
use tcmax_registry::{OptionSet, Options, Task, read};

use super::reading::Reading;
use crate::likelihood::right;
use crate::{
    Heads, Method, MethodSpec, Result, Step, StepOutput, Tasks, Way, cross_entropy, unimodal,
};

/// The specification of MBSD.
pub static MBSD: MethodSpec = MethodSpec {
    name: "mbsd",
    description: "draws modalities together that disagree on an example",
    source: "BalanceBenchmark, 2025",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it compares the modalities' probabilities of the one right class"),
    needs_stages: false,
    options: Options::of::<MbsdOptions>(),
    make: |options, _| Ok(Box::new(Mbsd { options: read(options)? })),
};

/// Options of MBSD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MbsdOptions {
    /// The divergence as it is computed (code), or as it was meant (paper).
    #[serde(rename = "as")]
    pub reading: Reading,
}

impl OptionSet for MbsdOptions {}

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Mbsd {
    /// Its options.
    pub options: MbsdOptions,
}

impl Method for Mbsd {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.all_logits(step.features)?;
        let mut terms = vec![cross_entropy(&logits, step.labels)?, unimodal(&own, step.labels)?];
        let pairs = pairs(&own, step.labels, self.options.reading)?;
        for pair in &pairs {
            let each = (&pair.weight * (&pair.similarity + &pair.divergence)?)?;
            terms.push((step.labels.mean(&each)? / pairs.len() as f64)?);
        }
        let loss = step.descend(&step.weighed(sum_of(&terms)?)?)?;
        Ok(StepOutput::new(loss, &logits))
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }
}

/// The terms of two modalities, for each example: all of shape (N,).
#[derive(Clone, Debug)]
pub struct Pair {
    /// w.
    pub weight: Tensor,
    /// RS.
    pub similarity: Tensor,
    /// K.
    pub divergence: Tensor,
}

/// The terms of all pairs of modalities with logits (N, C), in the order (1, 2), (1, 3), .., (2, 3), ..
///
/// # Errors
/// When shapes do not fit.
pub fn pairs(own: &[Tensor], labels: &Labels, reading: Reading) -> Result<Vec<Pair>> {
    let by = |f: &dyn Fn(&Tensor) -> Result<Tensor>| own.iter().map(f).collect::<Result<Vec<_>>>();
    let log_p = by(&|o| Ok((labels.pick(o)? - log_sum_exp(o, 1)?)?))?;
    let right = by(&|o| right(o, labels))?;
    let compared = if own.len() == 2 { own.to_vec() } else { by(&|o| Ok(softmax(o)?))? };
    let mut pairs = Vec::new();
    for j in 0..own.len() {
        for k in j + 1..own.len() {
            // In logarithms: a probability of 0 has none.
            let (log_s, log_q) = (log_p[j].maximum(&log_p[k])?, log_p[j].minimum(&log_p[k])?);
            let (s, q) = (log_s.exp()?, log_q.exp()?);
            let target = match reading {
                Reading::Code => &s,
                Reading::Paper => &log_s,
            };
            pairs.push(Pair {
                weight: ((&s - &q)? * right[j].maximum(&right[k])?)?,
                similarity: (&compared[j] - &compared[k])?.sqr()?.mean(D::Minus1)?,
                divergence: (&q * (&log_q - target)?)?,
            });
        }
    }
    Ok(pairs)
}
