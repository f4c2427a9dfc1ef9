//! Classifier-guided gradient modulation (CGGM): encoders slow down while a classifier of their own features gains.
//!
//! For each modality a linear classifier of the method's own learns from the detached features, with an optimiser of its
//! own. With acc_m its accuracy on the batch, and 0 before the first,
//!
//! ```text
//! Delta_m = acc_m(t) - acc_m(t - 1),    D = sum_m Delta_m + 1e-8,    k_m = (D - Delta_m) / D
//! ```
//!
//! the gradients of encoder m are multiplied by rho k_m. What is trained is CE(f, y) + lambda G, where
//!
//! ```text
//! G = 1/M sum_m (|k_m| - k_m cos(V_m, W_m))
//! ```
//!
//! - `as = "code"` (default, as the recorded values are): V_m and W_m are the weights of the classifier's and of the
//!   fused head's layer (of it the columns of m), and the gradient of G with respect to the head's is that of the step
//!   before; in the first step there is none. The encoders get nothing from G.
//! - `as = "paper"`: V_m and W_m are the gradients of the two cross-entropies with respect to these weights, of the
//!   same step: V_m = (softmax(f_m) - onehot(y))^T z_m / B, without gradient, and W_m likewise of f, through
//!   which G trains head and encoders.
//!
//! The norm of all gradients together is clipped at 0.8 after the multiplication. k_m has no bound where the changes of
//! the accuracies nearly cancel; `bound` gives it one. The released code's classifiers are small transformers.
//! Any number of modalities; heads that are linear in the features.
//!
//! Source: Guo, Jin, Chen, Zhao, "Classifier-guided Gradient Modulation for Enhanced Multimodal Learning" (NeurIPS
//! 2024), and its released code.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{
    Adam, AdamOptions, AnyOptimiser, Linear, Params, Sgd, SgdOptions, State, placed_like, sum_of,
    to_scalar_f64,
};
use tcmax_registry::{OptionSet, Options, read, require};

use super::cggm_direction::{Direction, accuracy, coefficients};
use super::reading::Reading;
use crate::gradients::scale;
use crate::{
    Error, Heads, METHOD_PREFIX, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks,
    cross_entropy,
};

/// The specification of CGGM.
pub static CGGM: MethodSpec = MethodSpec {
    name: "cggm",
    description: "slows down encoders whose own classifiers gain most",
    source: "Guo et al., NeurIPS 2024",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Additive,
    tasks: Tasks::Classes("it compares accuracies of exclusive classes"),
    needs_stages: false,
    options: Options::of::<CggmOptions>(),
    make: |options, setup| Ok(Box::new(Cggm::new(read(options)?, setup)?)),
};

/// What trains the classifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClassifierOptimiser {
    /// Adam.
    #[default]
    Adam,
    /// Plain gradient descent.
    Sgd,
}

/// Options of CGGM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CggmOptions {
    /// Whether the direction is compared as in the paper or as in its code.
    #[serde(rename = "as")]
    pub reading: Reading,
    /// Factor of all coefficients.
    pub rho: f64,
    /// Weight of the directions' loss.
    pub lambda: f64,
    /// What trains the classifiers.
    pub classifier_optimiser: ClassifierOptimiser,
    /// Learning rate of the classifiers.
    pub classifier_learning_rate: f64,
    /// The largest absolute value of a coefficient; absent: any.
    pub bound: Option<f64>,
}

impl Default for CggmOptions {
    fn default() -> Self {
        Self {
            reading: Reading::default(),
            rho: 1.3,
            lambda: 0.2,
            classifier_optimiser: ClassifierOptimiser::default(),
            classifier_learning_rate: 5e-4,
            bound: None,
        }
    }
}

impl OptionSet for CggmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let (lambda, rate) = (self.lambda, self.classifier_learning_rate);
        for (option, value) in [("lambda", lambda), ("classifier-learning-rate", rate)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        for (option, value) in [("rho", self.rho), ("bound", self.bound.unwrap_or(1.0))] {
            require(value.is_finite() && value > 0.0, option, "must be a positive number")?;
        }
        Ok(())
    }
}

/// The norm at which all gradients together are clipped.
const CLIP_NORM: f64 = 0.8;

/// See the [module](self).
#[derive(Debug)]
pub struct Cggm {
    options: CggmOptions,
    classifiers: Vec<Linear>,
    optimiser: Box<dyn AnyOptimiser>,
    /// acc_m of the last batch.
    accuracies: Vec<f64>,
    /// G of the last step, where the next one trains on it.
    direction_loss: f64,
    /// Its gradient with respect to the parameters of the head that have one, by their positions.
    direction: BTreeMap<usize, Tensor>,
}

impl Cggm {
    /// CGGM for the modalities and classes of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or the name of a parameter is taken.
    pub fn new(options: CggmOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let classifier = |(m, &width): (usize, &usize)| {
            Linear::new(width, setup.classes, &setup.own.pp("classifier").pp(m))
        };
        let classifiers = setup.widths.iter().enumerate().map(classifier);
        let classifiers = classifiers.collect::<tcmax_ops::Result<Vec<_>>>()?;
        let prefix = format!("{METHOD_PREFIX}.");
        let params = setup.own.params().only(|name| name.starts_with(&prefix));
        let optimiser = optimiser(&options, &params)?;
        let accuracies = vec![0.0; classifiers.len()];
        let direction = BTreeMap::new();
        Ok(Self { options, classifiers, optimiser, accuracies, direction_loss: 0.0, direction })
    }

    /// k_m of accuracies, which are remembered.
    fn coefficients(&mut self, accuracies: Vec<f64>) -> Vec<f64> {
        let mut coefficients = coefficients(&self.accuracies, &accuracies);
        self.accuracies = accuracies;
        if let Some(bound) = self.options.bound {
            coefficients.iter_mut().for_each(|k| *k = k.clamp(-bound, bound));
        }
        coefficients
    }

    /// The gradients of CE + lambda G of the last step, and the value of that sum.
    fn with_last_direction(&self, step: &Step<'_>, ce: &Tensor) -> Result<(GradStore, f64)> {
        let value = crate::finite(ce)? + self.options.lambda * self.direction_loss;
        let mut gradients = step.gradients(ce)?;
        for (&position, direction) in &self.direction {
            let Some(var) = step.groups.head.get(position) else { continue };
            let added = (placed_like(direction, var.as_tensor())? * self.options.lambda)?;
            let sum = match gradients.remove(var.as_tensor()) {
                Some(gradient) => (gradient + added)?,
                None => added,
            };
            gradients.insert(var.as_tensor(), sum);
        }
        Ok((gradients, value))
    }
}

/// What trains the classifiers.
fn optimiser(options: &CggmOptions, params: &Params) -> Result<Box<dyn AnyOptimiser>> {
    let learning_rate = options.classifier_learning_rate;
    Ok(match options.classifier_optimiser {
        ClassifierOptimiser::Adam => {
            Box::new(Adam::new(params, AdamOptions { learning_rate, ..AdamOptions::default() })?)
        }
        ClassifierOptimiser::Sgd => {
            let plain = SgdOptions { momentum: 0.0, weight_decay: 0.0, ..SgdOptions::default() };
            Box::new(Sgd::new(params, SgdOptions { learning_rate, ..plain })?)
        }
    })
}

impl Method for Cggm {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let ce = cross_entropy(&logits, step.labels)?;
        let own = self.classifiers.iter().zip(step.features);
        let own = own.map(|(layer, z)| layer.forward(&z.detach()));
        let own = own.collect::<candle_core::Result<Vec<_>>>()?;
        let accuracies = own.iter().map(|logits| accuracy(logits, step.labels));
        let coefficients = self.coefficients(accuracies.collect::<Result<_>>()?);
        let (mut gradients, loss, direction) = match self.options.reading {
            Reading::Code => {
                let heads = step.head.class_vectors()?;
                let heads = heads.ok_or(Error::NotLinear { method: CGGM.name })?;
                let own: Vec<Tensor> =
                    self.classifiers.iter().map(|layer| layer.weight().detach()).collect();
                let direction = Direction::new(&coefficients, &own, &heads)?;
                let (gradients, loss) = self.with_last_direction(step, &ce)?;
                // All members compute the same of it.
                let mut of_head = tcmax_ops::backward(&direction.loss)?;
                let positions = step.groups.head.iter().enumerate();
                self.direction = positions
                    .filter_map(|(at, var)| Some((at, of_head.remove(var.as_tensor())?.detach())))
                    .collect();
                self.direction_loss = to_scalar_f64(&direction.loss)?;
                (gradients, loss, direction)
            }
            Reading::Paper => {
                let direction = Direction::of_gradients(
                    &coefficients,
                    &own,
                    &logits,
                    step.features,
                    step.labels,
                )?;
                let loss = (ce + (&direction.loss * self.options.lambda)?)?;
                (step.gradients(&loss)?, crate::finite(&loss)?, direction)
            }
        };
        for (vars, coefficient) in step.groups.encoders.iter().zip(&coefficients) {
            scale(&mut gradients, vars, self.options.rho * coefficient)?;
        }
        let losses = own.iter().map(|logits| cross_entropy(logits, step.labels));
        let own_loss = sum_of(&losses.collect::<Result<Vec<_>>>()?)?;
        let own_value = crate::finite(&own_loss)?;
        self.optimiser.step(&tcmax_ops::backward(&own_loss)?)?;
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(loss, &logits);
        let value = to_scalar_f64(&direction.loss)?;
        output.metrics.push(("loss of the classifiers".to_owned(), own_value));
        output.metrics.push(("loss of the directions".to_owned(), value));
        Ok(output
            .with_metrics("coefficient", &coefficients)
            .with_metrics("accuracy of the classifier", &self.accuracies)
            .with_metrics("cosine", &direction.cosines))
    }

    fn usual_clip_norm(&self) -> Option<f64> {
        Some(CLIP_NORM)
    }

    fn state(&self) -> Result<State> {
        let accuracies = Tensor::new(&self.accuracies[..], &Device::Cpu)?;
        let loss = Tensor::new(self.direction_loss, &Device::Cpu)?;
        let mut state = State::from([(ACCURACIES.to_owned(), accuracies)]);
        state.insert(DIRECTION_LOSS.to_owned(), loss);
        let direction = self.direction.iter();
        state.extend(direction.map(|(at, value)| (format!("{DIRECTION}{at}"), value.clone())));
        let optimiser = self.optimiser.state()?.into_iter();
        state.extend(optimiser.map(|(name, value)| (format!("{OPTIMISER}{name}"), value)));
        Ok(state)
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let under = |prefix: &'static str| {
            state
                .iter()
                .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.clone())))
        };
        self.accuracies = crate::state::vector(state, ACCURACIES, self.accuracies.len())?;
        self.direction_loss = crate::state::vector(state, DIRECTION_LOSS, 1)?[0];
        let direction = under(DIRECTION).filter_map(|(at, value)| Some((at.parse().ok()?, value)));
        self.direction = direction.collect();
        let optimiser = under(OPTIMISER).map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(self.optimiser.load_state(&optimiser)?)
    }
}

const ACCURACIES: &str = "accuracies";
const DIRECTION_LOSS: &str = "direction-loss";
const DIRECTION: &str = "direction.";
const OPTIMISER: &str = "optimiser.";
