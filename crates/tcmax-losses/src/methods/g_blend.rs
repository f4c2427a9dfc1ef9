//! Gradient blending (G-Blend): branches weighted by how well they generalise.
//!
//! ```text
//! L = sum_k w_k L_k,     w_k proportional to G_k / O_k^2
//! ```
//!
//! over the branches k: every modality's own cross-entropy, and that of the fused logits. Between two
//! measurements, G_k is the fall of the branch's validation loss, and O_k the growth of its gap between
//! validation and training loss. Any number of modalities.
//!
//! Departures from the paper: its online form trains a copy of every branch by itself to measure it;
//! here the branches are measured in the running model, every `every` epochs, on the validation split
//! (which also chooses the epoch to keep). A branch whose validation loss rises gets no weight; if all
//! rise, the weights stay.
//!
//! Source: Wang, Tran, Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?"
//! (CVPR 2020), equation 6 and algorithm 2.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SPECIFIC};
use tcmax_ops::{State, sum_of};
use tcmax_registry::{OptionSet, Options, Task, read, require};

use crate::likelihood::log_likelihoods;
use crate::{
    EpochContext, Heads, Method, MethodSpec, Part, Result, Setup, Step, StepOutput, Surveyed,
    Tasks, Way, cross_entropy,
};

/// The specification of G-Blend.
pub static G_BLEND: MethodSpec = MethodSpec {
    name: "g-blend",
    description: "weighs branches by how well they generalise",
    source: "Wang et al., CVPR 2020",
    modalities: Modalities::Several,
    usual_head: &SPECIFIC,
    heads: Heads::Any,
    tasks: Tasks::Classes("it weighs branches by the likelihoods of the one right class"),
    needs_stages: false,
    options: Options::of::<GBlendOptions>(),
    make: |options, setup| Ok(Box::new(GBlend::new(read(options)?, setup)?)),
};

/// Options of G-Blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GBlendOptions {
    /// Epochs between two measurements.
    pub every: usize,
}

impl Default for GBlendOptions {
    fn default() -> Self {
        Self { every: 5 }
    }
}

impl OptionSet for GBlendOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.every > 0, "every", "must be at least 1 epoch")
    }
}

/// Growth of the gap counts as at least this, nats: a branch that has not overfitted at all would
/// otherwise take all the weight.
const LEAST_OVERFITTING: f64 = 0.01;

/// Losses of one branch, nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BranchLoss {
    /// On the training split.
    pub train: f64,
    /// On the validation split.
    pub validation: f64,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct GBlend {
    options: GBlendOptions,
    /// Of the modalities, then of the fused logits.
    weights: Vec<f64>,
    last: Option<Vec<BranchLoss>>,
}

impl GBlend {
    /// G-Blend for the modalities of `setup`, with equal weights at first.
    ///
    /// # Errors
    /// When `every` is 0.
    pub fn new(options: GBlendOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let branches = setup.widths.len() + 1;
        Ok(Self { options, weights: vec![1.0 / branches as f64; branches], last: None })
    }
}

impl Method for GBlend {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        if !context.clock().epoch.is_multiple_of(self.options.every) {
            return Ok(());
        }
        let train = branch_losses(context, Part::Train, self.weights.len())?;
        let validation = branch_losses(context, Part::Validation, self.weights.len())?;
        let pairs = train.into_iter().zip(validation);
        let now: Vec<BranchLoss> =
            pairs.map(|(train, validation)| BranchLoss { train, validation }).collect();
        if let Some(weights) = self.last.as_ref().and_then(|last| blend(last, &now)) {
            self.weights = weights;
        }
        self.last = Some(now);
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, mut branches) = step.head.all_logits(step.features)?;
        branches.push(logits.clone());
        let weigh = |(branch, &weight): (&Tensor, &f64)| -> Result<Tensor> {
            Ok((cross_entropy(branch, step.labels)? * weight)?)
        };
        let parts = branches.iter().zip(&self.weights).map(weigh).collect::<Result<Vec<_>>>()?;
        let loss = step.descend(&step.weighed(sum_of(&parts)?)?)?;
        Ok(StepOutput::new(loss, &logits).with_metrics("weight", &self.weights))
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }

    fn state(&self) -> Result<State> {
        let vector = |values: &[f64]| Tensor::new(values, &Device::Cpu);
        let mut state = State::from([("weights".to_owned(), vector(&self.weights)?)]);
        if let Some(last) = &self.last {
            let of = |part: fn(&BranchLoss) -> f64| last.iter().map(part).collect::<Vec<f64>>();
            state.insert("train".to_owned(), vector(&of(|loss| loss.train))?);
            state.insert("validation".to_owned(), vector(&of(|loss| loss.validation))?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let branches = self.weights.len();
        self.weights = crate::state::vector(state, "weights", branches)?;
        self.last = None;
        if state.contains_key("train") {
            let train = crate::state::vector(state, "train", branches)?;
            let validation = crate::state::vector(state, "validation", branches)?;
            let pairs = train.into_iter().zip(validation);
            self.last =
                Some(pairs.map(|(train, validation)| BranchLoss { train, validation }).collect());
        }
        Ok(())
    }
}

/// Mean cross-entropy of every branch on one split of the data, nats.
fn branch_losses(context: &mut dyn EpochContext, part: Part, branches: usize) -> Result<Vec<f64>> {
    let mut sums = vec![0.0; branches];
    let mut examples = 0;
    context.each(part, &mut |Surveyed { head, features, labels, .. }| {
        let (fused, mut logits) = head.all_logits(features)?;
        logits.push(fused);
        for (sum, logits) in sums.iter_mut().zip(&logits) {
            *sum -= log_likelihoods(logits, labels)?.iter().sum::<f64>();
        }
        examples += labels.len();
        Ok(true)
    })?;
    Ok(sums.into_iter().map(|sum| sum / examples.max(1) as f64).collect())
}

/// The weights of sum 1 that two measurements give, or `None` when no branch generalises better than
/// before.
///
/// ```
/// use tcmax_losses::methods::g_blend::{BranchLoss, blend};
///
/// let at = |train, validation| BranchLoss { train, validation };
/// // Both fall by 1 nat; the first opens a gap of 2 nats, the second one of 1.
/// let (before, after) = ([at(4.0, 4.0), at(4.0, 4.0)], [at(1.0, 3.0), at(2.0, 3.0)]);
/// assert_eq!(blend(&before, &after).unwrap(), [0.2, 0.8]);
/// ```
pub fn blend(before: &[BranchLoss], now: &[BranchLoss]) -> Option<Vec<f64>> {
    let gap = |loss: &BranchLoss| loss.validation - loss.train;
    let weight = |(old, new): (&BranchLoss, &BranchLoss)| {
        let generalisation = (old.validation - new.validation).max(0.0);
        generalisation / (gap(new) - gap(old)).abs().max(LEAST_OVERFITTING).powi(2)
    };
    let weights: Vec<f64> = before.iter().zip(now).map(weight).collect();
    let total: f64 = weights.iter().sum();
    (total > 0.0).then(|| weights.iter().map(|weight| weight / total).collect())
}
