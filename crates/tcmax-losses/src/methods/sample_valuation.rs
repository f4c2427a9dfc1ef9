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

use super::valuation::{Worth, joint_step, means, survey};
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
    modalities: usize,
    examples: usize,
    batch_size: usize,
    /// For the epoch that begins.
    plan: Option<EpochPlan>,
    /// Mean contributions before this epoch.
    means: Option<Vec<f64>>,
}

impl SampleValuation {
    /// The method for the training examples of `setup`.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: SampleValuationOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let (modalities, examples) = (setup.widths.len(), setup.examples);
        let batch_size = setup.batch_size;
        Ok(Self { options, modalities, examples, batch_size, plan: None, means: None })
    }
}

impl Method for SampleValuation {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        (self.plan, self.means) = (None, None);
        if context.clock().epoch < self.options.warm_up {
            return Ok(());
        }
        let contributions = survey(context, self.examples, self.options.worth)?;
        let mut planned: Vec<Planned> = (0..self.examples).map(Planned::whole).collect();
        for (row, own) in contributions.iter().enumerate() {
            for (m, &phi) in own.iter().flatten().enumerate() {
                planned.extend(std::iter::repeat_n(Planned::only(row, m), copies(phi)));
            }
        }
        self.means = Some(means(contributions.iter().flatten(), self.modalities));
        let seed = context.seed().stream("plan");
        self.plan = Some(EpochPlan::shuffled(planned, self.batch_size, seed));
        Ok(())
    }

    fn take_plan(&mut self) -> Option<EpochPlan> {
        self.plan.take()
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        joint_step(step, self.means.as_deref())
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }
}

/// How often an example is repeated with a modality of this contribution alone.
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
