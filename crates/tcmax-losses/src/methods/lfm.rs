//! Learning the modality gap (LFM): cross-entropy and the gap between the modalities' predictions, by weights that change
//! from epoch to epoch.
//!
//! ```text
//! L = 2 (a_0 CE(f, y) + a_1 A),    a_0 + a_1 = 1                                        (nats)
//! A = mean over pairs (m, n) of 1/2 [KL(q || p_m) + KL(q || p_n)],    q = (p_m + p_n) / 2
//! ```
//!
//! where p_m is the softmax of modality m's own logits. The paper calls A the Jensen-Shannon divergence, which has
//! KL(p_m || q); its released code has the arguments the other way round, as above (`as`). Two schedules:
//!
//! - `fitted`, that of the released main script: a_0 is a polynomial in the epoch, made for 200 of them; later epochs have
//!   the last value.
//! - `learned`: before every epoch, on a few examples, with J = a_0 CE + a_1 A and v = H(J) grad(CE)
//!   ([`hessian_gradient`]), a_1 <- clamp(a_1 - rate d, .05, .95), where d is the mean entry of v: of the released code in
//!   the first tensor of the parameters alone, which here is the first matrix or filter of the first encoder by name.
//!
//! Departures: the code holds out 16 training examples and uses the first half of them; here the first `examples` of the
//! training split are used, and trained on too. Of more than two modalities the mean over the pairs is taken
//! (the authors name a sum). f is the mean of the modalities' own logits in the code, and the head's logits in
//! BalanceBenchmark (`fused`).
//!
//! Source: Yang, Wan, Jiang, Xu, "Facilitating Multimodal Classification via Dynamically Learning Modality Gap" (NeurIPS
//! 2024).

use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SUM};
use tcmax_ops::{State, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::curvature::{hessian_gradient, mean_entry};
use super::divergence::{from_mixture, log_softmax, to_mixture};
use super::reading::Reading;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, ParameterGroups, Part, Result, Step,
    StepOutput, Tasks, cross_entropy,
};

/// The specification of LFM.
pub static LFM: MethodSpec = MethodSpec {
    name: "lfm",
    description: "closes the gap between predictions, by a weight that changes over the epochs",
    source: "Yang et al., NeurIPS 2024",
    modalities: Modalities::Several,
    usual_head: &SUM,
    heads: Heads::Any,
    tasks: Tasks::Classes("its gap is between distributions over exclusive classes"),
    needs_stages: false,
    options: Options::of::<LfmOptions>(),
    make: |options, _| Ok(Box::new(Lfm::new(read(options)?)?)),
};

/// Options of LFM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LfmOptions {
    /// What the weights come from: `fitted` or `learned`.
    pub schedule: Schedule,
    /// Which fused logits are trained and predicted from: `mean` of the modalities' own, or the `head`'s.
    pub fused: Fused,
    /// The gap and the mean entry as in the `code`, KL(q || p) and of the first tensor, or as in the `paper`, KL(p || q)
    /// and of all tensors.
    #[serde(rename = "as")]
    pub reading: Reading,
    /// The weight of the gap before the first epoch, where it is learned.
    pub start: f64,
    /// The rate of a learned weight.
    pub rate: f64,
    /// Epochs after which the rate is halved.
    pub halve_every: usize,
    /// Training examples that a weight is learned from.
    pub examples: usize,
}

impl Default for LfmOptions {
    fn default() -> Self {
        Self {
            schedule: Schedule::Fitted,
            fused: Fused::Mean,
            reading: Reading::Code,
            start: LARGEST,
            rate: 1e-4,
            halve_every: 20,
            examples: 8,
        }
    }
}

impl OptionSet for LfmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = (SMALLEST..=LARGEST).contains(&self.start);
        require(fits, "start", "must be 0.05 to 0.95")?;
        let fits = self.rate.is_finite() && self.rate >= 0.0;
        require(fits, "rate", "must be a number of at least 0")?;
        require(self.halve_every > 0, "halve-every", "must be at least 1 epoch")?;
        require(self.examples > 0, "examples", "must be at least 1")
    }
}

/// What the weights of the losses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// A polynomial in the epoch.
    #[default]
    Fitted,
    /// A step before every epoch.
    Learned,
}

/// Which fused logits are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fused {
    /// The mean of the modalities' own.
    #[default]
    Mean,
    /// The head's.
    Head,
}

const SMALLEST: f64 = 0.05;
const LARGEST: f64 = 0.95;

/// a_0 by the epoch, the lowest power first.
const FITTED: [f64; 6] =
    [0.204623704, 3.35472727e-3, 1.22989557e-4, -2.92947416e-6, 2.23835486e-8, -5.39717505e-11];
/// The epoch after which the polynomial is not followed.
const FITTED_TO: usize = 200;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Lfm {
    options: LfmOptions,
    /// a_1, where it is learned.
    learned: f64,
}

impl Lfm {
    /// The method.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn new(options: LfmOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options, learned: options.start })
    }

    /// a_1 in an epoch.
    fn gap_weight(&self, epoch: usize) -> f64 {
        match self.options.schedule {
            Schedule::Fitted => 1.0 - fitted(epoch),
            Schedule::Learned => self.learned,
        }
    }

    /// Fused logits, CE and A.
    fn losses(
        &self,
        head: &dyn FusionHead,
        features: &[Tensor],
        labels: &tcmax_estimators::Labels,
    ) -> Result<(Tensor, [Tensor; 2])> {
        let own = head.modality_logits(features)?;
        let logits = self.fused(head, features, &own)?;
        let ce = cross_entropy(&logits, labels)?;
        Ok((logits, [ce, gap(&own, self.options.reading)?]))
    }

    fn fused(&self, head: &dyn FusionHead, features: &[Tensor], own: &[Tensor]) -> Result<Tensor> {
        match self.options.fused {
            Fused::Mean => Ok((sum_of(own)? / own.len() as f64)?),
            Fused::Head => Ok(head.logits(features)?),
        }
    }
}

impl Method for Lfm {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        if self.options.schedule == Schedule::Fitted {
            return Ok(());
        }
        let (vars, first) = parameters(context.groups());
        let weight = self.learned;
        let mut mean = 0.0;
        context.study(Part::Train, self.options.examples, &mut |head, encode, labels| {
            let v = hessian_gradient(&vars, &|| {
                let (_, [ce, gap]) = self.losses(head, &encode()?, labels)?;
                let both = ((&ce * (1.0 - weight))? + (gap * weight)?)?;
                Ok([ce, both])
            })?;
            mean = match self.options.reading {
                Reading::Code => mean_entry(&v[first..=first])?,
                Reading::Paper => mean_entry(&v)?,
            };
            Ok(())
        })?;
        if !mean.is_finite() {
            return Err(Error::NotFinite { value: mean });
        }
        let rate = rate(self.options.rate, context.clock().epoch, self.options.halve_every);
        self.learned = next_weight(weight, rate, mean);
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let weight = self.gap_weight(step.clock.epoch);
        let (logits, [ce, gap]) = self.losses(step.head, step.features, step.labels)?;
        let both = ((&ce * (1.0 - weight))? + (&gap * weight)?)?;
        let loss = step.descend(&(both * 2.0)?)?;
        let mut output = StepOutput::new(loss, &logits);
        let values = [to_scalar_f64(&ce)?, to_scalar_f64(&gap)?, weight];
        let names = ["cross-entropy", "gap", "weight of the gap"];
        output.metrics.extend(names.map(str::to_owned).into_iter().zip(values));
        Ok(output)
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        self.fused(head, features, &head.modality_logits(features)?)
    }

    fn state(&self) -> Result<State> {
        Ok(match self.options.schedule {
            Schedule::Fitted => State::new(),
            Schedule::Learned => {
                State::from([("weight".to_owned(), Tensor::new(&[self.learned], &Device::Cpu)?)])
            }
        })
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        match (self.options.schedule, state.keys().next()) {
            (Schedule::Learned, _) => {
                self.learned = crate::state::vector(state, "weight", 1)?[0];
                Ok(())
            }
            (Schedule::Fitted, None) => Ok(()),
            (Schedule::Fitted, Some(name)) => Err(Error::UnknownState { name: name.clone() }),
        }
    }
}

/// All trainable parameters, those of the first encoder first, and the position of the tensor that stands first in the
/// released code: the first encoder's first matrix or filter.
fn parameters(groups: &ParameterGroups) -> (Vec<Var>, usize) {
    let vars = groups.encoders.iter().flatten().chain(&groups.head).chain(&groups.own);
    let vars: Vec<Var> = vars.cloned().collect();
    let first = vars.iter().position(|var| var.rank() >= 2).unwrap_or(0);
    (vars, first)
}

/// a_0 of the fitted schedule in an epoch from 0.
///
/// ```
/// use tcmax_losses::methods::lfm::fitted;
///
/// assert_eq!(fitted(0), 0.204623704);
/// assert!((fitted(100) - 0.5391551959999998).abs() < 1e-12);
/// assert_eq!(fitted(1000), fitted(200));
/// ```
pub fn fitted(epoch: usize) -> f64 {
    let epoch = epoch.min(FITTED_TO) as f64;
    FITTED.iter().rev().fold(0.0, |sum, coefficient| sum * epoch + coefficient)
}

/// The rate before an epoch: halved at every multiple of `halve_every` but 0.
pub fn rate(start: f64, epoch: usize, halve_every: usize) -> f64 {
    start * 0.5f64.powf((epoch / halve_every) as f64)
}

/// a_1 after a step: clamp(a_1 - rate d, .05, .95).
pub fn next_weight(weight: f64, rate: f64, mean_entry: f64) -> f64 {
    (weight - rate * mean_entry).clamp(SMALLEST, LARGEST)
}

/// A from the modalities' own logits (N, C): a scalar, nats; 0 for one modality.
///
/// # Errors
/// When there is no modality, or shapes differ.
pub fn gap(own: &[Tensor], reading: Reading) -> Result<Tensor> {
    let pairs = gap_of_pairs(own, reading)?;
    match own.first() {
        Some(logits) if pairs.is_empty() => Ok(Tensor::zeros((), logits.dtype(), logits.device())?),
        _ => Ok((sum_of(&pairs)? / pairs.len() as f64)?),
    }
}

/// The gaps of all pairs (0, 1), (0, 2), ..., (1, 2), ...: scalars, nats.
///
/// # Errors
/// When shapes differ.
pub fn gap_of_pairs(own: &[Tensor], reading: Reading) -> Result<Vec<Tensor>> {
    let logs = own.iter().map(log_softmax).collect::<Result<Vec<_>>>()?;
    let of = match reading {
        Reading::Code => from_mixture,
        Reading::Paper => to_mixture,
    };
    let pairs = logs
        .iter()
        .enumerate()
        .flat_map(|(m, one)| logs[m + 1..].iter().map(move |other| (one, other)));
    pairs.map(|(one, other)| of(one, other)).collect()
}
