//! Data remixing: every example is trained on with the one modality that is less certain of it.
//!
//! The head has a layer of its own for each modality's logits o_m. During `warm-up` epochs
//!
//! ```text
//! L = CE(o, y) + w sum_m CE(o_m, y)
//! ```
//!
//! with the weight w = `warm-up-weight`. Then, before every epoch, each example goes to the modality whose prediction is
//! closest to uniform, by K_m = KL(softmax o_m || uniform) in bits. The epoch has batches of one modality's examples
//! each, those of the last modality first, with the features of all others zeroed, and the loss
//!
//! ```text
//! L = CE(o, y) + gamma CE(o_m, y)
//! ```
//!
//! of the modality m that an example went to. Examples of equal K go to the last modality, as in the released code; this
//! has two modalities, and here there may be more.
//!
//! Source: Ma, Chen, Deng, "Improving Multimodal Learning Balance and Sufficiency through Data Remixing" (ICML 2025),
//! and its released code, of which the defaults are.

use candle_core::{D, Tensor};
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SPECIFIC};
use tcmax_ops::{log_sum_exp, sum_of, to_vec_f64, wide};
use tcmax_registry::{OptionSet, Options, Task, read, require};

use crate::{
    EpochContext, EpochPlan, Heads, Method, MethodSpec, Part, Planned, Result, Setup, Step,
    StepOutput, Surveyed, Tasks, Way, cross_entropy,
};

/// The specification of data remixing.
pub static REMIX: MethodSpec = MethodSpec {
    name: "remix",
    description: "trains each example with its less certain modality alone",
    source: "Ma et al., ICML 2025",
    modalities: Modalities::Several,
    usual_head: &SPECIFIC,
    heads: Heads::Any,
    tasks: Tasks::Classes("it compares how certain the modalities are of a class"),
    needs_stages: false,
    options: Options::of::<RemixOptions>(),
    make: |options, setup| Ok(Box::new(Remix::new(read(options)?, setup)?)),
};

/// Options of data remixing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RemixOptions {
    /// Epochs on all modalities before the first remixed one.
    pub warm_up: usize,
    /// Weight of the modalities' own losses during the warm-up.
    pub warm_up_weight: f64,
    /// Weight of the modality's own loss after it.
    pub gamma: f64,
    /// Whether the examples of a modality come in a random order.
    pub shuffle: bool,
}

impl Default for RemixOptions {
    fn default() -> Self {
        Self { warm_up: 10, warm_up_weight: 0.5, gamma: 1.0, shuffle: true }
    }
}

impl OptionSet for RemixOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        for (option, value) in [("warm-up-weight", self.warm_up_weight), ("gamma", self.gamma)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        Ok(())
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Remix {
    options: RemixOptions,
    modalities: usize,
    batch_size: usize,
    /// For the epoch that begins.
    plan: Option<EpochPlan>,
}

impl Remix {
    /// The method for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: RemixOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let (modalities, batch_size) = (setup.widths.len(), setup.batch_size);
        Ok(Self { options, modalities, batch_size, plan: None })
    }
}

impl Method for Remix {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.plan = None;
        if context.clock().epoch < self.options.warm_up {
            return Ok(());
        }
        let mut subsets = vec![Vec::new(); self.modalities];
        context.each(Part::Train, &mut |Surveyed { head, features, rows, .. }| {
            let certainties = certainties(&head.modality_logits(features)?)?;
            for (&row, m) in rows.iter().zip(assignments(&certainties)) {
                subsets[m].push(row);
            }
            Ok(true)
        })?;
        let mut plan = EpochPlan::default();
        for (m, mut rows) in subsets.into_iter().enumerate().rev() {
            // The survey's order has nothing to do with it.
            rows.sort_unstable();
            if self.options.shuffle {
                rows.shuffle(&mut context.seed().stream("plan").index(m as u64).rng());
            }
            let planned = rows.into_iter().map(|row| Planned::only(row, m));
            let planned: Vec<Planned> = planned.collect();
            plan.add_in_order(&planned, self.batch_size);
        }
        self.plan = Some(plan);
        Ok(())
    }

    fn take_plan(&mut self) -> Option<EpochPlan> {
        self.plan.take()
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.all_logits(step.features)?;
        let fused = cross_entropy(&logits, step.labels)?;
        let (weight, own) = if step.only.is_empty() {
            let own = own.iter().map(|logits| cross_entropy(logits, step.labels));
            (self.options.warm_up_weight, sum_of(&own.collect::<Result<Vec<_>>>()?)?)
        } else {
            (self.options.gamma, cross_entropy(&chosen(&own, step.only)?, step.labels)?)
        };
        let parts = [step.weighed(fused)?, step.weighed(own)?];
        let loss = step.descend(&(&parts[0] + (&parts[1] * weight)?)?)?;
        let mut output = StepOutput::new(loss, &logits);
        for (name, part) in ["fused loss", "own loss"].into_iter().zip(&parts) {
            let value = step.spread.total(tcmax_ops::to_scalar_f64(part)?)?;
            output.metrics.push((name.to_owned(), value));
        }
        Ok(output)
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        Way::Rows
    }
}

/// K_m = log2 C - H_2(softmax o_m) of each example, from logits (N, C) of each modality: one list per modality. 0 where
/// the prediction is uniform, log2 C where it is certain.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_losses::methods::remix::certainties;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let logits = Tensor::new(&[[500f64, -500.0], [3.0, 3.0]], &Device::Cpu)?;
/// assert_eq!(certainties(&[logits])?, [[1.0, 0.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When logits are not (N, C).
pub fn certainties(modality_logits: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    let of = |logits: &Tensor| -> Result<Vec<f64>> {
        let logits = wide(&logits.detach())?;
        let log_p = logits.broadcast_sub(&log_sum_exp(&logits, 1)?.unsqueeze(1)?)?;
        let negative_entropy = to_vec_f64(&(log_p.exp()? * &log_p)?.sum(D::Minus1)?)?;
        let classes = (logits.dim(1)? as f64).log2();
        let bits = std::f64::consts::LN_2;
        Ok(negative_entropy.into_iter().map(|sum| classes + sum / bits).collect())
    };
    modality_logits.iter().map(of).collect()
}

/// The modality of each example that is least certain of it, the last of equals.
pub fn assignments(certainties: &[Vec<f64>]) -> Vec<usize> {
    let examples = certainties.first().map_or(0, Vec::len);
    let least = |row: usize| {
        let mut least = 0;
        for m in 1..certainties.len() {
            if certainties[m][row] <= certainties[least][row] {
                least = m;
            }
        }
        least
    };
    (0..examples).map(least).collect()
}

/// Of the modalities' logits (N, C), each example's row of those of the one modality that counts.
fn chosen(own: &[Tensor], only: &[Option<usize>]) -> Result<Tensor> {
    let share = 1.0 / own.len() as f64;
    let of = |(m, logits): (usize, &Tensor)| -> Result<Tensor> {
        // Where all count, so do all logits: their mean.
        let weights: Vec<f64> =
            only.iter().map(|only| only.map_or(share, |k| f64::from(u8::from(k == m)))).collect();
        let weights = Tensor::from_vec(weights, (only.len(), 1), logits.device())?;
        Ok(logits.broadcast_mul(&weights.to_dtype(logits.dtype())?)?)
    };
    Ok(sum_of(&own.iter().enumerate().map(of).collect::<Result<Vec<_>>>()?)?)
}
