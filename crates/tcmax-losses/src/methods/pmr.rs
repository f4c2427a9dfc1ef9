//! Prototypical modal rebalance (PMR), with its entropy regularisation (PER).
//!
//! Every class has a prototype c_m^k in each feature space: the mean feature of its examples. With
//! the similarities q_m\[k\] = -||z_m - c_m^k||, s_m the batch's sum of softmax(q_m)\[y\] and
//! r = s_1 / s_2,
//!
//! ```text
//! r > 1:  beta_1 = 0,                beta_2 = min(r - 1, 1)
//! else:   beta_1 = min(1/r - 1, 1),  beta_2 = 0
//!
//! L = CE(f, y) + alpha sum_m beta_m CE(q_m, y) - mu sum_m beta_{3-m} E_m
//! ```
//!
//! where E_m is the mean over the classes of the entropy of softmax(q_m) along the batch. A prototype
//! loss above 10 nats is left out. Two modalities.
//!
//! Before each epoch the prototypes are the class means of the first tenth of the shuffled training
//! batches, or of as many more as it takes to meet every class (the paper's code goes on with NaN when
//! one is missing); `momentum` keeps a fraction of the old ones, as in the paper but not in its code.
//!
//! Source: Fan, Xu, Wang, Wang, Guo, "PMR: Prototypical Modal Rebalance for Multimodal Learning"
//! (CVPR 2023), equations 8 to 13.

use candle_core::{D, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, Modalities};
use tcmax_ops::{State, host_f64, log_sum_exp, placed_like, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::pair::pair;
use crate::likelihood::label_probability_sums;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Part, Result, Setup, Step, StepOutput,
    Surveyed, Tasks, cross_entropy,
};

/// The specification of PMR.
pub static PMR: MethodSpec = MethodSpec {
    name: "pmr",
    description: "pulls the lagging modality towards its class prototypes",
    source: "Fan et al., CVPR 2023",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it pulls features towards the prototype of their one class"),
    needs_stages: false,
    options: Options::of::<PmrOptions>(),
    make: |options, setup| Ok(Box::new(Pmr::new(read(options)?, setup)?)),
};

/// Options of PMR.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PmrOptions {
    /// Weight of the prototype losses.
    pub alpha: f64,
    /// Weight of the entropy regularisation; 0 for none.
    pub mu: f64,
    /// Fraction of the old prototypes that is kept, in [0, 1).
    pub momentum: f64,
    /// Fraction of the training batches that prototypes are computed from.
    pub fraction: f64,
}

impl Default for PmrOptions {
    fn default() -> Self {
        Self { alpha: 0.5, mu: 0.0, momentum: 0.0, fraction: 0.1 }
    }
}

impl OptionSet for PmrOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        for (option, value) in [("alpha", self.alpha), ("mu", self.mu)] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        let fits = (0.0..1.0).contains(&self.momentum);
        require(fits, "momentum", "must be at least 0 and below 1")?;
        let fits = self.fraction > 0.0 && self.fraction <= 1.0;
        require(fits, "fraction", "must be above 0 and at most 1")
    }
}

/// Prototype losses above this are left out, nats.
const LARGEST_LOSS: f64 = 10.0;
/// Added to squared distances: a distance of zero has no gradient otherwise.
const TINY: f64 = 1e-24;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Pmr {
    options: PmrOptions,
    /// (C, D_m) of each modality, from the first epoch on.
    prototypes: Option<[Tensor; 2]>,
    classes: usize,
    widths: [usize; 2],
}

impl Pmr {
    /// PMR for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or there are not two modalities.
    pub fn new(options: PmrOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let widths = pair(PMR.name, &setup.widths)?;
        Ok(Self { options, prototypes: None, classes: setup.classes, widths })
    }
}

impl Method for Pmr {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let clock = context.clock();
        let wanted = (self.options.fraction * clock.batches as f64).ceil() as usize;
        let mut means = ClassMeans::new(self.classes);
        let mut seen = 0;
        context.each(Part::Train, &mut |Surveyed { features, labels, .. }| {
            means.add(features, labels)?;
            seen += 1;
            Ok(seen < wanted || !means.is_complete())
        })?;
        let new = means.prototypes(self.prototypes.as_ref())?;
        self.prototypes = Some(match &self.prototypes {
            Some(old) => mixed(old, &new, self.options.momentum)?,
            None => new,
        });
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let logits = step.head.logits(step.features)?;
        let ce = cross_entropy(&logits, step.labels)?;
        let Some(prototypes) = &self.prototypes else {
            return Ok(StepOutput::new(step.descend(&ce)?, &logits));
        };
        let own = Rebalance::new(step.features, prototypes, step.labels)?;
        let loss = own.loss(&ce, step.labels, self.options.alpha, self.options.mu)?;
        let metrics = own.weights;
        let loss = step.descend(&loss)?;
        Ok(StepOutput::new(loss, &logits).with_metrics("weight", &metrics))
    }

    fn state(&self) -> Result<State> {
        let prototypes = self.prototypes.iter().flatten().enumerate();
        Ok(prototypes.map(|(m, tensor)| (format!("prototypes.{m}"), tensor.clone())).collect())
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        if state.is_empty() {
            self.prototypes = None;
            return Ok(());
        }
        let of = |m: usize| -> Result<Tensor> {
            let name = format!("prototypes.{m}");
            let tensor = crate::state::tensor(state, &name)?;
            let wanted = [self.classes, self.widths[m]];
            if tensor.dims() != wanted {
                let (got, wanted) = (tensor.elem_count(), wanted.iter().product());
                return Err(Error::WrongState { name, got, wanted });
            }
            Ok(tensor.clone())
        };
        self.prototypes = Some([of(0)?, of(1)?]);
        Ok(())
    }
}

/// `momentum * old + (1 - momentum) * new`.
///
/// # Errors
/// When the shapes differ.
pub fn mixed(old: &[Tensor; 2], new: &[Tensor; 2], momentum: f64) -> Result<[Tensor; 2]> {
    let mix = |m: usize| (&old[m] * momentum)? + (&new[m] * (1.0 - momentum))?;
    Ok([mix(0)?, mix(1)?])
}

/// Sums of the features of each class.
#[derive(Clone, Debug)]
pub struct ClassMeans {
    /// sums\[m\] is (C, D_m), f64 on the CPU, from the first batch on.
    sums: Vec<Tensor>,
    counts: Vec<u32>,
}

impl ClassMeans {
    /// No example yet.
    pub fn new(classes: usize) -> Self {
        Self { sums: Vec::new(), counts: vec![0; classes] }
    }

    /// Adds a batch: features (B, D_m) of each modality.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn add(&mut self, features: &[Tensor], labels: &Labels) -> Result<()> {
        let truth = labels.tensor()?.to_vec1::<u32>()?;
        let one_hot: Vec<f64> = truth
            .iter()
            .flat_map(|&y| (0..labels.classes()).map(move |c| f64::from(u8::from(c == y as usize))))
            .collect();
        truth.iter().for_each(|&y| self.counts[y as usize] += 1);
        let shape = (truth.len(), labels.classes());
        for (m, z) in features.iter().enumerate() {
            let one_hot = Tensor::from_slice(&one_hot, shape, &Device::Cpu)?;
            let sums = one_hot.t()?.matmul(&host_f64(z)?)?;
            match self.sums.get_mut(m) {
                Some(total) => *total = (&*total + sums)?,
                None => self.sums.push(sums),
            }
        }
        Ok(())
    }

    /// Whether every class has an example.
    pub fn is_complete(&self) -> bool {
        self.counts.iter().all(|&count| count > 0)
    }

    /// The means, (C, D_m) of both modalities. A class without an example keeps its old prototype.
    ///
    /// # Errors
    /// When a class has neither, or there are not two modalities.
    fn prototypes(&self, old: Option<&[Tensor; 2]>) -> Result<[Tensor; 2]> {
        let missing = self.counts.iter().position(|&count| count == 0);
        if let (Some(class), None) = (missing, old) {
            return Err(Error::NoPrototype { class });
        }
        let mean = |m: usize| -> Result<Tensor> {
            let sums = self
                .sums
                .get(m)
                .ok_or(Error::NeedsTwoModalities { method: PMR.name, got: self.sums.len() })?;
            let rows = self.counts.iter().enumerate().map(|(class, &count)| match (count, old) {
                (0, Some(old)) => host_f64(&old[m].get(class)?),
                (count, _) => sums.get(class)? / f64::from(count),
            });
            let rows = rows.collect::<candle_core::Result<Vec<_>>>()?;
            Ok(Tensor::stack(&rows, 0)?)
        };
        Ok([mean(0)?, mean(1)?])
    }

    /// The means of classes that all have examples.
    ///
    /// # Errors
    /// When a class has none, or there are not two modalities.
    pub fn means(&self) -> Result<[Tensor; 2]> {
        self.prototypes(None)
    }
}

/// Similarities of a batch to the prototypes, and which modality is behind.
pub struct Rebalance {
    /// q_m, (B, C).
    similarities: [Tensor; 2],
    /// s_1 / s_2.
    pub ratio: f64,
    /// beta_1 and beta_2.
    pub weights: [f64; 2],
}

impl Rebalance {
    /// Of features z_m (B, D_m) and prototypes (C, D_m).
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(features: &[Tensor], prototypes: &[Tensor; 2], labels: &Labels) -> Result<Self> {
        let [first, second] = features else {
            return Err(Error::NeedsTwoModalities { method: PMR.name, got: features.len() });
        };
        let similarities =
            [similarity(first, &prototypes[0])?, similarity(second, &prototypes[1])?];
        let [s_1, s_2] = pair(PMR.name, &label_probability_sums(&similarities, labels)?)?;
        let ratio = s_1 / s_2;
        let weights = if ratio > 1.0 {
            [0.0, (ratio - 1.0).min(1.0)]
        } else {
            [(1.0 / ratio - 1.0).min(1.0), 0.0]
        };
        Ok(Self { similarities, ratio, weights })
    }

    /// CE(q_m, y) of both modalities, nats.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn prototype_losses(&self, labels: &Labels) -> Result<[Tensor; 2]> {
        let [first, second] = &self.similarities;
        Ok([cross_entropy(first, labels)?, cross_entropy(second, labels)?])
    }

    /// The whole loss from CE(f, y), nats.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn loss(&self, ce: &Tensor, labels: &Labels, alpha: f64, mu: f64) -> Result<Tensor> {
        let mut loss = ce.clone();
        for (own, beta) in self.prototype_losses(labels)?.iter().zip(self.weights) {
            let near = to_scalar_f64(own)? <= LARGEST_LOSS;
            if beta > 0.0 && near {
                loss = (loss + (own * (alpha * beta))?)?;
            }
        }
        for (q, other) in self.similarities.iter().zip([self.weights[1], self.weights[0]]) {
            if mu > 0.0 && other > 0.0 {
                loss = (loss - (batch_entropy(q)? * (mu * other))?)?;
            }
        }
        Ok(loss)
    }
}

/// -||z_i - c_k||: (B, C).
fn similarity(features: &Tensor, prototypes: &Tensor) -> Result<Tensor> {
    let prototypes = placed_like(prototypes, features)?;
    let differences = features.unsqueeze(1)?.broadcast_sub(&prototypes.unsqueeze(0)?)?;
    Ok((differences.sqr()?.sum(D::Minus1)? + TINY)?.sqrt()?.neg()?)
}

/// The mean over the columns of the entropy of the softmax along the rows, nats.
fn batch_entropy(scores: &Tensor) -> Result<Tensor> {
    let log_p = scores.broadcast_sub(&log_sum_exp(scores, 0)?.unsqueeze(0)?)?;
    Ok((log_p.exp()? * log_p)?.sum(0)?.mean_all()?.neg()?)
}
