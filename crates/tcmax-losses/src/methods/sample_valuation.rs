//! Sample-level modality valuation: examples to which a modality contributes little are trained on again with that
//! modality alone.
//!
//! After `warm-up` epochs of joint training, every epoch has each example once with all modalities, and for each
//! modality so many copies that keep its features alone, the others zeroed after their encoders:
//!
//! ```text
//! 1 if .4 < phi_m < 1,   2 if -.1 < phi_m < .4,   3 if phi_m < -.1,   0 otherwise
//! ```
//!
//! where phi_m is the modality's [contribution](super::valuation) to the prediction of the example, measured before the
//! epoch. All of them in a random order; the loss is the cross-entropy of the fused logits.
//!
//! Source: Wei et al., "Enhancing Multimodal Cooperation via Sample-level Modality Valuation" (CVPR 2024), and its
//! released code. Any number of modalities: the paper has two, and the thresholds stay as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_registry::{OptionSet, Options, Task, read};

use super::valuation::{ValuedEpoch, Worth, means, survey};
use crate::{
    EpochContext, EpochPlan, Heads, Method, MethodSpec, Planned, Result, Setup, Step, StepOutput,
    Tasks, Way,
};

/// The specification of sample-level valuation.
pub static SAMPLE_VALUATION: MethodSpec = MethodSpec {
    name: "sample-valuation",
    description: "repeats examples with the modality that contributes little to them",
    source: "Wei et al., CVPR 2024",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("a contribution is whether the one right class is predicted"),
    needs_stages: false,
    options: Options::of::<SampleValuationOptions>(),
    make: |options, setup| Ok(Box::new(SampleValuation::new(read(options)?, setup)?)),
};

/// Options of sample-level valuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SampleValuationOptions {
    /// Epochs of joint training before the first copies.
    pub warm_up: usize,
    /// What a right prediction from some modalities is worth: `size`, their number, as in the paper; or `one`, as in
    /// BalanceBenchmark.
    pub worth: Worth,
}

impl Default for SampleValuationOptions {
    fn default() -> Self {
        Self { warm_up: 5, worth: Worth::Size }
    }
}

impl OptionSet for SampleValuationOptions {}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct SampleValuation {
    options: SampleValuationOptions,
    epoch: ValuedEpoch,
}

impl SampleValuation {
    /// The method for the training examples of `setup`.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: SampleValuationOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        Ok(Self { options, epoch: ValuedEpoch::new(setup) })
    }
}

impl Method for SampleValuation {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.epoch.clear();
        if context.clock().epoch < self.options.warm_up {
            return Ok(());
        }
        let contributions = survey(context, self.epoch.examples, self.options.worth)?;
        let again = contributions.iter().enumerate().flat_map(|(row, own)| {
            let of = move |(m, &phi): (usize, &f64)| {
                std::iter::repeat_n(Planned::only(row, m), copies(phi))
            };
            own.iter().flatten().enumerate().flat_map(of)
        });
        let means = means(contributions.iter().flatten(), self.epoch.modalities);
        self.epoch.plan(means, again, context.seed().stream("plan"));
        Ok(())
    }

    fn take_plan(&mut self) -> Option<EpochPlan> {
        self.epoch.take_plan()
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        self.epoch.step(step)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }
}

/// How often an example is repeated with one modality alone, by what that modality contributes.
///
/// ```
/// use tcmax_losses::methods::sample_valuation::copies;
///
/// assert_eq!([-0.5, 0.0, 0.5, 1.0, 1.5].map(copies), [3, 2, 1, 0, 0]);
/// ```
pub fn copies(phi: f64) -> usize {
    if 0.4 < phi && phi < 1.0 {
        1
    } else if -0.1 < phi && phi < 0.4 {
        2
    } else if phi < -0.1 {
        3
    } else {
        0
    }
}
