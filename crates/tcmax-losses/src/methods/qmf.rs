//! Quality-aware multimodal fusion (QMF).
//!
//! The confidence of modality m is u_m = logsumexp(f_m) / 10; the logits are mixed by it, and trained
//! together with each modality's own:
//!
//! ```text
//! f = sum_m u_m f_m        (u_m without gradient)
//! L = CE(f, y) + sum_m CE(f_m, y) + sum_m rank_m                    (nats)
//! rank_m = mean_i relu( sign(k_i - k_j) (u_i - u_j) - |k_i - k_j| ),    j = i + 1 in the batch
//! ```
//!
//! where k is the example's history of losses, scaled to \[0, 1\] over the training set: an example that
//! was learned worse than its neighbour must have less confidence. Predictions are mixed the same way.
//! Any number of modalities.
//!
//! As in the paper's code, the history is a running *sum* of losses. While all sums are equal (NaN
//! there) nothing is ranked.
//!
//! Source: Zhang, Wu, Zhang, Hu, Fu, Zhou, Peng, "Provable Dynamic Fusion for Low-Quality Multimodal
//! Data" (ICML 2023), equations 13 to 15.

use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{State, log_sum_exp, placed_like, sum_of};
use tcmax_registry::Options;

use crate::likelihood::log_likelihoods;
use crate::methods::unimodal::unimodal;
use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of QMF.
pub static QMF: MethodSpec = MethodSpec {
    name: "qmf",
    description: "mixes modalities by confidence, ranked by their history of losses",
    source: "Zhang et al., ICML 2023",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("its confidence is the log-sum-exp of the logits of exclusive classes"),
    needs_stages: false,
    options: Options::NONE,
    make: |_, setup| Ok(Box::new(Qmf::new(setup))),
};

/// Confidence is the log-sum-exp over this.
const SCALE: f64 = 10.0;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Qmf {
    history: History,
}

impl Qmf {
    /// QMF for the modalities and examples of `setup`.
    pub fn new(setup: &Setup) -> Self {
        Self { history: History::new(setup.widths.len(), setup.examples) }
    }
}

impl Method for Qmf {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let own = step.head.modality_logits(step.features)?;
        self.history.add(&own, step.labels, step.rows)?;
        let loss = self.history.loss(&own, step.labels, step.rows)?;
        let loss = step.descend(&loss)?;
        Ok(StepOutput::new(loss, &mixed(&own)?))
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        mixed(&head.modality_logits(features)?)
    }

    fn state(&self) -> Result<State> {
        let of = |(m, sums): (usize, &Vec<f64>)| {
            Ok((format!("losses.{m}"), Tensor::new(&sums[..], &Device::Cpu)?))
        };
        self.history.losses.iter().enumerate().map(of).collect()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        for (m, sums) in self.history.losses.iter_mut().enumerate() {
            *sums = crate::state::vector(state, &format!("losses.{m}"), sums.len())?;
        }
        Ok(())
    }
}

/// logsumexp(f_m) / 10 of logits (N, C): shape (N,).
///
/// # Errors
/// When the logits are not of rank 2.
pub fn confidence(logits: &Tensor) -> Result<Tensor> {
    Ok((log_sum_exp(logits, 1)? / SCALE)?)
}

/// sum_m u_m f_m of logits (N, C), with confidences that carry no gradient.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn mixed(own: &[Tensor]) -> Result<Tensor> {
    let weigh = |logits: &Tensor| -> Result<Tensor> {
        Ok(logits.broadcast_mul(&confidence(logits)?.detach().unsqueeze(1)?)?)
    };
    Ok(sum_of(&own.iter().map(weigh).collect::<Result<Vec<_>>>()?)?)
}

/// The history of losses of every training example.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// losses\[m\]\[row\]: the sum of modality m's cross-entropies on that example, nats.
    pub losses: Vec<Vec<f64>>,
}

impl History {
    /// No batch seen yet.
    pub fn new(modalities: usize, examples: usize) -> Self {
        Self { losses: vec![vec![0.0; examples]; modalities] }
    }

    /// Adds a batch: the training examples `rows`, with logits (B, C) of each modality.
    ///
    /// # Errors
    /// When shapes do not fit, or a row is not a training example.
    pub fn add(&mut self, own: &[Tensor], labels: &Labels, rows: &[usize]) -> Result<()> {
        for (sums, logits) in self.losses.iter_mut().zip(own) {
            for (&row, log) in rows.iter().zip(log_likelihoods(logits, labels)?) {
                let examples = sums.len();
                let sum = sums.get_mut(row).ok_or(Error::NoSuchExample { row, examples })?;
                *sum -= log;
            }
        }
        Ok(())
    }

    /// The whole loss, nats.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn loss(&self, own: &[Tensor], labels: &Labels, rows: &[usize]) -> Result<Tensor> {
        let mut loss = (cross_entropy(&mixed(own)?, labels)? + unimodal(own, labels)?)?;
        for (sums, logits) in self.losses.iter().zip(own) {
            loss = (loss + ranking(&confidence(logits)?, &scaled(sums, rows))?)?;
        }
        Ok(loss)
    }
}

/// The sums of `rows`, scaled so that those of all examples lie in [0, 1]; zeros if all are equal.
fn scaled(sums: &[f64], rows: &[usize]) -> Vec<f64> {
    let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
    let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = most - least;
    rows.iter().map(|&row| if range > 0.0 { (sums[row] - least) / range } else { 0.0 }).collect()
}

/// The ranking loss of confidences (B,) and scaled histories of the same examples.
fn ranking(confidence: &Tensor, history: &[f64]) -> Result<Tensor> {
    let count = history.len();
    let next = |i: usize| (i + 1) % count;
    let places: Vec<u32> = (0..count).map(|i| next(i) as u32).collect();
    let neighbour = confidence.index_select(&Tensor::new(&places[..], confidence.device())?, 0)?;
    let (mut signs, mut margins) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for i in 0..count {
        let difference = history[i] - history[next(i)];
        signs.push(if difference == 0.0 { 0.0 } else { difference.signum() });
        margins.push(difference.abs());
    }
    let tensor =
        |values: Vec<f64>| placed_like(&Tensor::from_vec(values, count, &Device::Cpu)?, confidence);
    let ranked = ((confidence - neighbour)? * tensor(signs)?)? - tensor(margins)?;
    Ok(tcmax_ops::relu(&ranked?)?.mean_all()?)
}
