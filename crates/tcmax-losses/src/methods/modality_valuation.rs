//! Modality-level valuation: some examples are trained on again with the modality that contributes least.
//!
//! After `warm-up` epochs of joint training, before every epoch, a fifth as many examples as there are is drawn with
//! replacement, and over them the means phi-bar_m of the modalities' [contributions](super::valuation) are taken. With
//! the gaps g_m = 1 - phi-bar_m
//!
//! ```text
//! P = alpha 2/3 (sum over pairs |g_i - g_j|) / (M - 1)
//! ```
//!
//! the epoch has each example once with all modalities, and floor(P N) further ones, drawn with replacement, that keep
//! only the features of the modality with the largest gap. The loss is the cross-entropy of the fused logits.
//!
//! Source: Wei et al., "Enhancing Multimodal Cooperation via Sample-level Modality Valuation" (CVPR 2024), and its
//! released code, which has two modalities; the mean over more is that of BalanceBenchmark.

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::Seed;
use tcmax_registry::{OptionSet, Options, Task, read, require};

use super::valuation::{ValuedEpoch, Worth, means, survey};
use crate::{
    EpochContext, EpochPlan, Heads, Method, MethodSpec, Planned, Result, Setup, Step, StepOutput,
    Tasks, Way,
};

/// The specification of modality-level valuation.
pub static MODALITY_VALUATION: MethodSpec = MethodSpec {
    name: "modality-valuation",
    description: "repeats examples with the modality that contributes least",
    source: "Wei et al., CVPR 2024",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("a contribution is whether the one right class is predicted"),
    needs_stages: false,
    options: Options::of::<ModalityValuationOptions>(),
    make: |options, setup| Ok(Box::new(ModalityValuation::new(read(options)?, setup)?)),
};

/// Options of modality-level valuation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModalityValuationOptions {
    /// Epochs of joint training before the first repetitions.
    pub warm_up: usize,
    /// Factor of the number of repetitions.
    pub alpha: f64,
    /// What a right prediction from some modalities is worth: `size`, their number, as in the paper; or `one`, as in
    /// BalanceBenchmark.
    pub worth: Worth,
}

impl Default for ModalityValuationOptions {
    fn default() -> Self {
        Self { warm_up: 5, alpha: 1.0, worth: Worth::Size }
    }
}

impl OptionSet for ModalityValuationOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha >= 0.0 && self.alpha <= 100.0;
        require(fits, "alpha", "must be at least 0 and at most 100")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct ModalityValuation {
    options: ModalityValuationOptions,
    epoch: ValuedEpoch,
}

impl ModalityValuation {
    /// The method for the training examples of `setup`.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: ModalityValuationOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        Ok(Self { options, epoch: ValuedEpoch::new(setup) })
    }
}

impl Method for ModalityValuation {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.epoch.clear();
        if context.clock().epoch < self.options.warm_up {
            return Ok(());
        }
        let seed = context.seed();
        let examples = self.epoch.examples;
        let contributions = survey(context, examples, self.options.worth)?;
        let measured = drawn(examples / 5, examples, seed.stream("measured"));
        // Of fewer than five examples all are measured.
        let measured = if measured.is_empty() { (0..examples).collect() } else { measured };
        let measured = measured.into_iter().filter_map(|row| contributions[row].as_ref());
        let means = means(measured, self.epoch.modalities);
        let Repeated { modality, count } = repeated(&means, self.options.alpha, examples);
        let rows = drawn(count, examples, seed.stream("repeated"));
        let again = rows.into_iter().map(|row| Planned::only(row, modality));
        self.epoch.plan(means, again, seed.stream("plan"));
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

/// So many of the examples, drawn with replacement.
fn drawn(count: usize, examples: usize, seed: Seed) -> Vec<usize> {
    let mut rng = seed.rng();
    (0..count).map(|_| rng.random_range(0..examples)).collect()
}

/// P and the gaps 1 - phi-bar_m from the mean contributions of the modalities.
///
/// ```
/// use tcmax_losses::methods::modality_valuation::imbalance;
///
/// let (share, gaps) = imbalance(&[0.75, 0.0], 1.0);
/// assert_eq!((share, gaps), (0.5, vec![0.25, 1.0]));
/// ```
pub fn imbalance(means: &[f64], alpha: f64) -> (f64, Vec<f64>) {
    let gaps: Vec<f64> = means.iter().map(|mean| 1.0 - mean).collect();
    let pairs = gaps
        .iter()
        .enumerate()
        .flat_map(|(i, one)| gaps[i + 1..].iter().map(move |other| (one - other).abs()));
    let others = gaps.len().saturating_sub(1).max(1);
    (pairs.sum::<f64>() / others as f64 * 2.0 / 3.0 * alpha, gaps)
}

/// What is added to an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The modality with the largest gap, the first of equals.
    pub modality: usize,
    /// How many examples are repeated with it alone.
    pub count: usize,
}

/// What is added to an epoch of so many examples.
pub fn repeated(means: &[f64], alpha: f64, examples: usize) -> Repeated {
    let (share, gaps) = imbalance(means, alpha);
    let mut modality = 0;
    for (m, gap) in gaps.iter().enumerate() {
        if *gap > gaps[modality] {
            modality = m;
        }
    }
    Repeated { modality, count: (share * examples as f64).floor() as usize }
}
