//! Unimodal training: the sum of every modality's own cross-entropy.
//!
//! ```text
//! L = sum_m CE(f_m(z_m), y)      (nats)
//! ```
//!
//! The fused logits are used in prediction only. Of several labels and of numbers the loss is theirs
//! ([`Target`]), and the prediction of a number is the mean of the modalities' outputs: each of them is trained to
//! be the number, and their sum would be as many times it.

use candle_core::Tensor;
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{only_reading, sum_of};
use tcmax_registry::{Options, Task};

use crate::{
    Error, Heads, Method, MethodSpec, Result, Step, StepOutput, Target, Targets, Tasks, Way,
};

/// The specification of unimodal training.
pub static UNIMODAL: MethodSpec = MethodSpec {
    name: "unimodal",
    description: "sum of each modality's own cross-entropy, or squared error",
    source: "",
    modalities: Modalities::Any,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Any,
    needs_stages: false,
    options: Options::NONE,
    make: |_, _| Ok(Box::new(Unimodal)),
};

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub struct Unimodal;

impl Method for Unimodal {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        train(step)
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        train(step)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }

    fn predict_numbers(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        let own = head.modality_logits(features)?;
        Ok((sum_of(&own)? / own.len() as f64)?)
    }
}

fn train<Y: Target>(step: &mut Step<'_, Y>) -> Result<StepOutput> {
    let own = step.head.modality_logits(step.features)?;
    let loss = step.descend(&step.weighed(unimodal(&own, step.labels)?)?)?;
    let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
    Ok(StepOutput::new(loss, &only_reading(|| step.head.logits(&detached))?))
}

/// The sum of the losses of each modality's own outputs (N, C): a scalar, nats where they are logits.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn unimodal<Y: Target>(modality_logits: &[Tensor], targets: &Y) -> Result<Tensor> {
    if modality_logits.is_empty() {
        let what = "the list of modality logits";
        return Err(Error::Estimator(tcmax_estimators::Error::Empty { what, unit: "modality" }));
    }
    let own = modality_logits.iter().map(|logits| targets.loss(logits));
    Ok(sum_of(&own.collect::<Result<Vec<_>>>()?)?)
}
