//! What each modality contributes to each prediction: the Shapley values that sample-level and modality-level valuation
//! plan their epochs by.
//!
//! With v(S) the worth of a set S of modalities for one example, |S| if the class predicted from S alone (the features
//! of the others zeroed) is right and 0 otherwise,
//!
//! ```text
//! phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S and m) - v(S))
//! ```
//!
//! which is (v(m) + v(all) - v(other)) / 2 of two modalities. All 2^M sets are looked at.
//!
//! Source: Wei, Feng, Wang, Hu, "Enhancing Multimodal Cooperation via Sample-level Modality Valuation" (CVPR 2024),
//! and its released code. BalanceBenchmark counts every right prediction as 1 ([`Worth::One`]), and zeroes a modality's
//! inputs in place of its features.

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::FusionHead;
use tcmax_ops::Seed;

use crate::{
    EpochContext, EpochPlan, Part, Planned, Result, Setup, Step, StepOutput, Surveyed,
    cross_entropy,
};

/// What a right prediction from some modalities is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Worth {
    /// The number of modalities: as in the paper and its code.
    #[default]
    Size,
    /// 1: as in BalanceBenchmark.
    One,
}

impl Worth {
    /// v(S) of a set of so many modalities.
    pub fn of(self, modalities: usize, is_right: bool) -> f64 {
        match self {
            Self::Size if is_right => modalities as f64,
            Self::One if is_right && modalities > 0 => 1.0,
            _ => 0.0,
        }
    }
}

/// The Shapley values of M modalities, from the worth of each set: bit m of its index says whether it has modality m.
///
/// ```
/// use tcmax_losses::methods::valuation::shapley;
///
/// // Right with the first alone and with both, where both together are worth 2.
/// assert_eq!(shapley(&[0.0, 1.0, 0.0, 2.0]), [1.5, 0.5]);
/// ```
pub fn shapley(worths: &[f64]) -> Vec<f64> {
    let modalities = worths.len().max(1).ilog2() as usize;
    let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
    let weight =
        |size: usize| factorial(size) * factorial(modalities - size - 1) / factorial(modalities);
    let of = |m: usize| {
        let without = (0..worths.len()).filter(|set| set & (1 << m) == 0);
        without
            .map(|set| weight(set.count_ones() as usize) * (worths[set | (1 << m)] - worths[set]))
            .sum()
    };
    (0..modalities).map(of).collect()
}

/// Logits (N, C) from the modalities of a set alone, with zeros in place of the features of the others.
///
/// # Errors
/// When the features do not fit the head.
pub fn logits_of(head: &dyn FusionHead, features: &[Tensor], set: usize) -> Result<Tensor> {
    let kept = |(m, z): (usize, &Tensor)| match set & (1 << m) {
        0 => z.zeros_like(),
        _ => Ok(z.clone()),
    };
    let kept = features.iter().enumerate().map(kept).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(head.logits(&kept)?)
}

/// Of which examples the class of the highest logit is right.
///
/// # Errors
/// When the logits are not (N, C).
pub fn is_right(logits: &Tensor, labels: &Labels) -> Result<Vec<bool>> {
    let guesses = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    Ok(guesses.iter().zip(&truth).map(|(guess, y)| guess == y).collect())
}

/// The contribution of each modality to each prediction of a batch: N rows of M numbers.
///
/// # Errors
/// When the features do not fit the head.
pub fn contributions(
    head: &dyn FusionHead,
    features: &[Tensor],
    labels: &Labels,
    worth: Worth,
) -> Result<Vec<Vec<f64>>> {
    let mut worths = vec![vec![0.0; 1 << features.len()]; labels.len()];
    for set in 1..1usize << features.len() {
        let right = is_right(&logits_of(head, features, set)?, labels)?;
        for (worths, right) in worths.iter_mut().zip(right) {
            worths[set] = worth.of(set.count_ones() as usize, right);
        }
    }
    Ok(worths.iter().map(|worths| shapley(worths)).collect())
}

/// The contributions to the predictions of all training examples; `None` for those that the survey does not come by.
pub(super) fn survey(
    context: &mut dyn EpochContext,
    examples: usize,
    worth: Worth,
) -> Result<Vec<Option<Vec<f64>>>> {
    let mut found = vec![None; examples];
    context.each(Part::Train, &mut |Surveyed { head, features, labels, rows }| {
        let of_batch = contributions(head, features, labels, worth)?;
        for (&row, own) in rows.iter().zip(of_batch) {
            if let Some(found) = found.get_mut(row) {
                *found = Some(own);
            }
        }
        Ok(true)
    })?;
    Ok(found)
}

/// The mean contribution of each modality over some examples.
pub(super) fn means<'a>(
    contributions: impl Iterator<Item = &'a Vec<f64>>,
    modalities: usize,
) -> Vec<f64> {
    let (mut sums, mut count) = (vec![0.0; modalities], 0);
    for own in contributions {
        sums.iter_mut().zip(own).for_each(|(sum, phi)| *sum += phi);
        count += 1;
    }
    sums.into_iter().map(|sum| sum / f64::from(count.max(1))).collect()
}

/// The epoch that valuation has planned, and steps of joint training in it.
#[derive(Clone, Debug)]
pub(super) struct ValuedEpoch {
    pub(super) modalities: usize,
    pub(super) examples: usize,
    batch_size: usize,
    plan: Option<EpochPlan>,
    /// Mean contributions before the epoch.
    means: Option<Vec<f64>>,
}

impl ValuedEpoch {
    /// An epoch of the training examples of `setup`, as it is without a plan.
    pub(super) fn new(setup: &Setup) -> Self {
        let (modalities, examples) = (setup.widths.len(), setup.examples);
        Self { modalities, examples, batch_size: setup.batch_size, plan: None, means: None }
    }

    /// The next epoch has no plan, unless one is made.
    pub(super) fn clear(&mut self) {
        (self.plan, self.means) = (None, None);
    }

    /// Plans every example once, and others again, in a random order.
    pub(super) fn plan(
        &mut self,
        means: Vec<f64>,
        again: impl IntoIterator<Item = Planned>,
        seed: Seed,
    ) {
        let planned = (0..self.examples).map(Planned::whole).chain(again).collect();
        self.means = Some(means);
        self.plan = Some(EpochPlan::shuffled(planned, self.batch_size, seed));
    }

    pub(super) fn take_plan(&mut self) -> Option<EpochPlan> {
        self.plan.take()
    }

    /// A step by the cross-entropy of the fused logits, of features of which the plan has zeroed some.
    pub(super) fn step(&self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let loss = step.descend(&step.weighed(cross_entropy(&logits, step.labels)?)?)?;
        let output = StepOutput::new(loss, &logits);
        Ok(match &self.means {
            Some(means) => output.with_metrics("contribution", means),
            None => output,
        })
    }
}
