//! On-the-fly prediction modulation (OPM): features of the leading modality are dropped.
//!
//! With s_m the batch's sum of modality m's probabilities of the label and r_1 = s_1 / s_2 = 1 / r_2,
//!
//! ```text
//! q_m = q (1 + lambda tanh(r_m))   if r_m > 1,   else 0
//! ```
//!
//! is the probability with which the features of modality m are zeroed, example by example, in the
//! *next* step. As in the paper's code the rate lags one step behind, and is kept across epochs. Two
//! modalities; the loss is the cross-entropy of the fused logits. Dropping ends half way through
//! training.
//!
//! Source: Wei, Hu, Du, Wen, "On-the-fly Modulation for Balanced Multimodal Learning" (TPAMI 2024),
//! section 4.2; equations as stated there for feature dropping.

use candle_core::{Device, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{State, only_reading, placed_like};
use tcmax_registry::{OptionSet, Options, read, require};

use super::pair::pair;
use crate::likelihood::label_probability_sums;
use crate::{Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy};

/// The specification of OPM.
pub static OPM: MethodSpec = MethodSpec {
    name: "opm",
    description: "drops features of the leading modality",
    source: "Wei et al., TPAMI 2024",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("its rates compare the modalities' probabilities of the one right class"),
    needs_stages: false,
    options: Options::of::<OpmOptions>(),
    make: |options, setup| Ok(Box::new(Opm::new(read(options)?, setup)?)),
};

/// Options of OPM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OpmOptions {
    /// Base rate q of dropping.
    pub rate: f64,
    /// Strength lambda of the modulation.
    pub strength: f64,
    /// The last epoch (from 0) with dropping; absent: half of all epochs.
    pub last_epoch: Option<usize>,
}

impl Default for OpmOptions {
    fn default() -> Self {
        Self { rate: 0.5, strength: 0.5, last_epoch: None }
    }
}

impl OptionSet for OpmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((0.0..=1.0).contains(&self.rate), "rate", "must be a probability, 0 to 1")?;
        let fits = self.strength.is_finite() && self.strength >= 0.0;
        require(fits, "strength", "must be a number of at least 0")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Opm {
    options: OpmOptions,
    rates: [f64; 2],
}

impl Opm {
    /// OPM for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or there are not two modalities.
    pub fn new(options: OpmOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        pair(OPM.name, &setup.widths)?;
        Ok(Self { options, rates: [0.0; 2] })
    }
}

impl Method for Opm {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let active = step.clock.epoch <= self.options.last_epoch.unwrap_or(step.clock.epochs / 2);
        let rates = if active { self.rates } else { [0.0; 2] };
        let mut features = Vec::with_capacity(2);
        for (m, (z, rate)) in step.features.iter().zip(rates).enumerate() {
            let mut rng = step.seed.stream("drop").index(m as u64).rng();
            let draws: Vec<f64> = (0..step.labels.len()).map(|_| rng.random()).collect();
            features.push(if rate > 0.0 { dropped(z, &draws, rate)? } else { z.clone() });
        }
        let (logits, own) = if rates == [0.0; 2] {
            step.head.logits_and_readings(step.features)?
        } else {
            let whole: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
            (step.head.logits(&features)?, only_reading(|| step.head.modality_logits(&whole))?)
        };
        let scores = pair(OPM.name, &label_probability_sums(&own, step.labels)?)?;
        self.rates = next_rates(scores, self.options.rate, self.options.strength);
        let loss = step.descend(&cross_entropy(&logits, step.labels)?)?;
        Ok(StepOutput::new(loss, &logits).with_metrics("drop rate", &rates))
    }

    fn state(&self) -> Result<State> {
        let rates = Tensor::new(&self.rates, &Device::Cpu)?;
        Ok(State::from([("rates".to_owned(), rates)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.rates = pair(OPM.name, &crate::state::vector(state, "rates", 2)?)?;
        Ok(())
    }
}

/// The rates of the next step from the scores s_1 and s_2 of this one.
///
/// ```
/// let rates = tcmax_losses::methods::opm::next_rates([3.0, 2.0], 0.5, 0.5);
/// assert_eq!(rates, [0.5 * (1.0 + 0.5 * 1.5f64.tanh()), 0.0]);
/// ```
pub fn next_rates([first, second]: [f64; 2], rate: f64, strength: f64) -> [f64; 2] {
    let of = |ratio: f64| if ratio > 1.0 { rate * (1.0 + strength * ratio.tanh()) } else { 0.0 };
    [of(first / second), of(second / first)]
}

/// Features (B, D) with the rows zeroed whose draw from [0, 1) is below `rate`.
///
/// # Errors
/// When there is not one draw per row.
pub fn dropped(features: &Tensor, draws: &[f64], rate: f64) -> Result<Tensor> {
    let keep: Vec<f64> = draws.iter().map(|&draw| f64::from(u8::from(draw >= rate))).collect();
    let keep = Tensor::from_vec(keep, (draws.len(), 1), &Device::Cpu)?;
    Ok(features.broadcast_mul(&placed_like(&keep, features)?)?)
}
