//! Regulated information acquisition (InfoReg): while encoders still learn much, the leading one is held back.
//!
//! ```text
//! L    = CE(f, y) + CE(f_1, y) + CE(f_2, y)
//! g_m <- g_m + beta_m (theta_m - theta_m at the start of the epoch)       for the parameters of encoder m
//! ```
//!
//! With s_m the batch's sum of modality m's probabilities of the label, and while k > threshold,
//!
//! ```text
//! s_1 > s_2:  beta_1 = b_1 exp(tanh(s_1 - s_2)),  beta_2 = 0
//! s_1 < s_2:  beta_2 = b_2 exp(tanh(s_2 - s_1)),  beta_1 = 0
//! ```
//!
//! else both are 0. T_e is the trace of the first encoder's Fisher information in epoch e: of each of its matrices and
//! filters the mean over the entries of the sum over the steps of g_1^2, added up. Of the traces so far, with zeros
//! before the first, S_1 is the mean of the last ten and S_2 that of the ten before the last one; then
//!
//! ```text
//! k = (S_1 - S_2) / S_1,     and 1 in the first epoch
//! ```
//!
//! Whichever modality leads, the window of regulation is decided by the first encoder alone, as in the released code
//! (where that is audio). Its b are far apart, and meant for audio and video. Two modalities.
//!
//! Source: Huang, Wei, Yang, Hu, "Adaptive Unimodal Regulation for Balanced Multimodal Information Acquisition"
//! (CVPR 2025), and its released code, which this follows.

use std::collections::VecDeque;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{State, to_scalar_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use super::pair::pair;
use crate::likelihood::label_probability_sums;
use crate::{
    EpochContext, Heads, Method, MethodSpec, ParameterGroups, Result, Setup, Step, StepOutput,
    Tasks, cross_entropy, unimodal,
};

/// The specification of InfoReg.
pub static INFO_REG: MethodSpec = MethodSpec {
    name: "info-reg",
    description: "holds the leading encoder near its parameters while much is learned",
    source: "Huang et al., CVPR 2025",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes(
        "its coefficients compare the modalities' probabilities of the one right class",
    ),
    needs_stages: false,
    options: Options::of::<InfoRegOptions>(),
    make: |options, setup| Ok(Box::new(InfoReg::new(read(options)?, setup)?)),
};

/// Options of InfoReg.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InfoRegOptions {
    /// Strength b_1 with which the first modality is held back.
    pub first: f64,
    /// Strength b_2 with which the second modality is held back.
    pub second: f64,
    /// Growth k of the information above which modalities are held back.
    pub threshold: f64,
}

impl Default for InfoRegOptions {
    fn default() -> Self {
        Self { first: 0.95, second: 0.1, threshold: 0.05 }
    }
}

impl OptionSet for InfoRegOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        for (option, value) in [("first", self.first), ("second", self.second)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        require(self.threshold.is_finite(), "threshold", "must be a number")
    }
}

impl InfoRegOptions {
    /// beta_1 and beta_2 from the scores s_1 and s_2, and k.
    ///
    /// ```
    /// use tcmax_losses::methods::info_reg::InfoRegOptions;
    ///
    /// let options = InfoRegOptions::default();
    /// let wanted = 0.1 * 1f64.tanh().exp();
    /// assert_eq!(options.strengths([2.0, 3.0], 0.06), [0.0, wanted]);
    /// assert_eq!(options.strengths([2.0, 3.0], 0.05), [0.0, 0.0]);
    /// ```
    pub fn strengths(&self, [first, second]: [f64; 2], growth: f64) -> [f64; 2] {
        let strength = |b: f64, lead: f64| b * lead.tanh().exp();
        if growth <= self.threshold || first == second {
            [0.0; 2]
        } else if first > second {
            [strength(self.first, first - second), 0.0]
        } else {
            [0.0, strength(self.second, second - first)]
        }
    }
}

/// Traces that k is made of.
const TRACES: usize = 11;

/// The last traces of an encoder's Fisher information.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces(VecDeque<f64>);

impl Default for Traces {
    fn default() -> Self {
        Self(VecDeque::from([0.0; TRACES]))
    }
}

impl Traces {
    /// Adds that of an epoch.
    pub fn push(&mut self, trace: f64) {
        self.0.pop_front();
        self.0.push_back(trace);
    }

    /// S_1 and S_2.
    pub fn means(&self) -> [f64; 2] {
        let mean = |skipped: usize| {
            let ten = self.0.iter().skip(skipped).take(TRACES - 1);
            ten.sum::<f64>() / (TRACES - 1) as f64
        };
        [mean(1), mean(0)]
    }

    /// k; 0 where no trace is above 0.
    ///
    /// ```
    /// let mut traces = tcmax_losses::methods::info_reg::Traces::default();
    /// traces.push(3.0);
    /// assert_eq!(traces.growth(), 1.0);
    /// traces.push(1.0);
    /// assert!((traces.growth() - 0.25).abs() < 1e-15);
    /// ```
    pub fn growth(&self) -> f64 {
        let [now, before] = self.means();
        if now > 0.0 { (now - before) / now } else { 0.0 }
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct InfoReg {
    options: InfoRegOptions,
    traces: Traces,
    /// T of the present epoch so far.
    trace: f64,
    /// k of the present epoch.
    growth: f64,
    /// The encoders' parameters at the start of the epoch, which is where runs are resumed: not part of the state.
    starts: Vec<Vec<Tensor>>,
}

impl InfoReg {
    /// InfoReg for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or there are not two modalities.
    pub fn new(options: InfoRegOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        pair(INFO_REG.name, &setup.widths)?;
        let (traces, starts) = (Traces::default(), Vec::new());
        Ok(Self { options, traces, trace: 0.0, growth: 1.0, starts })
    }

    /// Adds what draws encoder m to where it was at the start of the epoch.
    fn hold_back(
        &self,
        gradients: &mut GradStore,
        groups: &ParameterGroups,
        m: usize,
        strength: f64,
    ) -> Result<()> {
        let (Some(vars), Some(starts)) = (groups.encoders.get(m), self.starts.get(m)) else {
            return Ok(());
        };
        for (var, start) in vars.iter().zip(starts).filter(|_| strength > 0.0) {
            let Some(gradient) = gradients.remove(var.as_tensor()) else { continue };
            let moved = (var.as_detached_tensor() - start)?;
            gradients.insert(var.as_tensor(), (gradient + (moved * strength)?)?);
        }
        Ok(())
    }
}

impl Method for InfoReg {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        self.growth = 1.0;
        if context.clock().epoch > 0 {
            self.traces.push(self.trace);
            self.growth = self.traces.growth();
        }
        self.trace = 0.0;
        let copies = |vars: &Vec<Var>| -> candle_core::Result<Vec<Tensor>> {
            vars.iter().map(|var| var.as_detached_tensor().copy()).collect()
        };
        let encoders = &context.groups().encoders;
        self.starts = encoders.iter().map(copies).collect::<candle_core::Result<_>>()?;
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = step.head.all_logits(step.features)?;
        let loss = (cross_entropy(&logits, step.labels)? + unimodal(&own, step.labels)?)?;
        let value = crate::finite(&loss)?;
        let scores = pair(INFO_REG.name, &label_probability_sums(&own, step.labels)?)?;
        let strengths = self.options.strengths(scores, self.growth);
        let mut gradients = step.gradients(&loss)?;
        for (m, &strength) in strengths.iter().enumerate() {
            self.hold_back(&mut gradients, step.groups, m, strength)?;
        }
        self.trace += squares(&gradients, step.groups)?;
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(value, &logits).with_metrics("score", &scores);
        output = output.with_metrics("strength", &strengths);
        output.metrics.push(("growth of information".to_owned(), self.growth));
        Ok(output)
    }

    fn state(&self) -> Result<State> {
        let traces: Vec<f64> = self.traces.0.iter().copied().collect();
        let traces = Tensor::new(traces, &Device::Cpu)?;
        let trace = Tensor::new(&[self.trace], &Device::Cpu)?;
        Ok(State::from([("traces".to_owned(), traces), ("trace".to_owned(), trace)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.traces = Traces(crate::state::vector(state, "traces", TRACES)?.into());
        self.trace = crate::state::vector(state, "trace", 1)?[0];
        Ok(())
    }
}

/// The sum over the matrices and filters of the first encoder of the means of their squared gradients.
fn squares(gradients: &GradStore, groups: &ParameterGroups) -> Result<f64> {
    let mut sum = 0.0;
    for var in groups.encoders.iter().take(1).flatten().filter(|var| var.rank() > 1) {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            sum += to_scalar_f64(&wide(gradient)?.sqr()?.mean_all()?)?;
        }
    }
    Ok(sum)
}
