//! Unimodal training: the sum of every modality's own cross-entropy.
//!
//! ```text
//! L = sum_m CE(f_m(z_m), y)      (nats)
//! ```
//!
//! The fused logits are used in prediction only.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::sum_of;
use tcmax_registry::Options;

use crate::{Error, Heads, Method, MethodSpec, Result, Step, StepOutput, cross_entropy};

/// The specification of unimodal training.
pub static UNIMODAL: MethodSpec = MethodSpec {
    name: "unimodal",
    description: "sum of each modality's own cross-entropy",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    options: Options::NONE,
    make: |_, _| Ok(Box::new(Unimodal)),
};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Unimodal;

impl Method for Unimodal {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let own = step.head.modality_logits(step.features)?;
        let loss = step.descend(&unimodal(&own, step.labels)?)?;
        let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
        Ok(StepOutput::new(loss, &step.head.logits(&detached)?))
    }
}

/// The sum of the cross-entropies of each modality's own logits (N, C): a scalar, nats.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn unimodal(modality_logits: &[Tensor], labels: &Labels) -> Result<Tensor> {
    if modality_logits.is_empty() {
        let what = "the list of modality logits";
        return Err(Error::Estimator(tcmax_estimators::Error::Empty { what, unit: "modality" }));
    }
    let own = modality_logits.iter().map(|logits| cross_entropy(logits, labels));
    Ok(sum_of(&own.collect::<Result<Vec<_>>>()?)?)
}
