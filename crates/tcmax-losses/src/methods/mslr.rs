//! Modality-specific learning rates (MSLR), which follow how each modality does on the validation split.
//!
//! ```text
//! k_m = l_m a_m / mean of the K values of a_m before it     once there are K of them, else l_m
//! ```
//!
//! multiplies the gradients of encoder m, and those of what the head keeps for modality m alone (its columns of the
//! weight). The loss is the cross-entropy of the fused logits. a_m is the validation accuracy of the logits of
//! modality m alone, measured before every epoch but the first; l_m are given rates. Any number of modalities; the
//! head's logits of one modality have to be parts of the fused ones, as those of `concat` are: layers beside them are
//! not trained.
//!
//! Source: Yao and Mihalcea, "Modality-specific Learning Rates for Effective Multimodal Additive Late-fusion"
//! (Findings of ACL 2022), as the code of Kontras et al. (MCR, arXiv 2411.07335) runs it. That code is for two
//! modalities with rates of 0.7 and 1.3 on CREMA-D, and 10 or 20 for K.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{State, to_scalar_f64, to_vec_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::gradients::scale_modality;
use crate::likelihood::right;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Part, Result, Setup, Step, StepOutput,
    Surveyed, Tasks, cross_entropy,
};

/// The specification of MSLR.
pub static MSLR: MethodSpec = MethodSpec {
    name: "mslr",
    description: "a learning rate for each modality, which follows its validation accuracy",
    source: "Yao and Mihalcea, ACL 2022",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it follows the accuracy of each modality"),
    needs_stages: false,
    options: Options::of::<MslrOptions>(),
    make: |options, setup| Ok(Box::new(Mslr::new(read(options)?, setup)?)),
};

/// Options of MSLR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MslrOptions {
    /// Epochs K that an accuracy is compared with.
    pub window: usize,
    /// The rate of each modality; none: 1 for all.
    pub rates: Vec<f64>,
}

impl Default for MslrOptions {
    fn default() -> Self {
        Self { window: 5, rates: Vec::new() }
    }
}

impl OptionSet for MslrOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.window > 0, "window", "must be at least 1 epoch")?;
        let fits = self.rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0);
        require(fits, "rates", "must be numbers of at least 0")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Mslr {
    window: usize,
    /// l_m.
    rates: Vec<f64>,
    /// The last K + 1 accuracies of all modalities, the newest at the end.
    accuracies: VecDeque<Vec<f64>>,
}

impl Mslr {
    /// MSLR for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or there is not one rate for each modality.
    pub fn new(options: MslrOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let (got, wanted) = (options.rates.len(), setup.widths.len());
        let rates = if got == 0 { vec![1.0; wanted] } else { options.rates };
        if rates.len() != wanted {
            return Err(Error::WrongLength { what: "the rates of MSLR", got, wanted });
        }
        Ok(Self { window: options.window, rates, accuracies: VecDeque::new() })
    }

    /// Adds the validation accuracies of all modalities after an epoch.
    pub fn observe(&mut self, accuracies: Vec<f64>) {
        self.accuracies.push_back(accuracies);
        if self.accuracies.len() > self.window + 1 {
            self.accuracies.pop_front();
        }
    }

    /// Each modality's last accuracy over the mean of those before it; 1 until there are enough, or where all were 0.
    pub fn ratios(&self) -> Vec<f64> {
        let ratio = |m: usize| {
            let before = self.accuracies.iter().take(self.window).map(|accuracies| accuracies[m]);
            let before = before.sum::<f64>() / self.window as f64;
            let last = self.accuracies.back().map_or(0.0, |accuracies| accuracies[m]);
            if self.accuracies.len() > self.window && before > 0.0 { last / before } else { 1.0 }
        };
        (0..self.rates.len()).map(ratio).collect()
    }
}

impl Method for Mslr {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        if context.clock().epoch == 0 {
            return Ok(());
        }
        let mut counts = vec![0.0; self.rates.len()];
        let mut examples = 0;
        context.each(Part::Validation, &mut |Surveyed { head, features, labels, .. }| {
            for (count, logits) in counts.iter_mut().zip(head.modality_logits(features)?) {
                *count += to_scalar_f64(&right(&logits, labels)?.sum_all()?)?;
            }
            examples += labels.len();
            Ok(true)
        })?;
        self.observe(counts.into_iter().map(|count| count / examples.max(1) as f64).collect());
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let loss = cross_entropy(&logits, step.labels)?;
        let value = crate::finite(&loss)?;
        let mut gradients = step.gradients(&loss)?;
        let coefficients = self.ratios().into_iter().zip(&self.rates).map(|(r, rate)| r * rate);
        let coefficients: Vec<f64> = coefficients.collect();
        for (m, &factor) in coefficients.iter().enumerate() {
            scale_modality(&mut gradients, step, m, factor)?;
        }
        (step.update)(&mut gradients)?;
        Ok(StepOutput::new(value, &logits).with_metrics("coefficient", &coefficients))
    }

    fn state(&self) -> Result<State> {
        if self.accuracies.is_empty() {
            return Ok(State::new());
        }
        let shape = (self.accuracies.len(), self.rates.len());
        let values: Vec<f64> = self.accuracies.iter().flatten().copied().collect();
        let accuracies = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(State::from([("accuracies".to_owned(), accuracies)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.accuracies.clear();
        if state.is_empty() {
            return Ok(());
        }
        const NAME: &str = "accuracies";
        let values = to_vec_f64(crate::state::tensor(state, NAME)?)?;
        let (got, modalities) = (values.len(), self.rates.len());
        if got % modalities != 0 || got > (self.window + 1) * modalities {
            let wanted = (self.window + 1) * modalities;
            return Err(Error::WrongState { name: NAME.to_owned(), got, wanted });
        }
        self.accuracies.extend(values.chunks(modalities).map(<[f64]>::to_vec));
        Ok(())
    }
}
