//! Predictive dynamic fusion (PDF): modalities are mixed by the predicted probability of the right class.
//!
//! For each modality a net of the method's own predicts from the detached features the probability c_m that the
//! modality gives to the right class. With o_m the logits of each modality,
//!
//! ```text
//! h_m = sum_{k != m} ln c_k / (sum_k ln c_k + 1e-8)
//! o = sum_m w_m o_m,     w = softmax_m(c_m + h_m)        (no gradient through w)
//! L = CE(o, y) + sum_m CE(o_m, y) + sum_m mean |c_m - softmax(o_m)[y]|
//! ```
//!
//! In prediction c_m + h_m is multiplied by r_m = min(1, U_m / U of the others) before the softmax, where
//! U_m = mean_c |softmax(o_m)\[c\] - 1/C|: what is close to uniform counts less. Any head; any number of modalities, of
//! which the others' U is the mean (the source's code has two).
//!
//! As in the released code a net is three linear layers of widths 2 D_m, D_m and 1 with nothing between them, and a
//! sigmoid; and nothing flows back through the regression's target (`target = "live"` lets it). The logarithm of
//! c_m counts as at most -1e-7, where the code divides by zero.
//!
//! Source: Cao, Xia, Ding, Zhang, Hu, "Predictive Dynamic Fusion" (ICML 2024), and its released code.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Labels;
use tcmax_fusion::{FusionHead, Modalities, SUM};
use tcmax_ops::{
    Linear, ParamBuilder, log_sum_exp, placed_like, softmax, sum_of, to_vec_f64, wide,
};
use tcmax_registry::{OptionSet, Options, read};

use crate::{Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy};

/// The specification of PDF.
pub static PDF: MethodSpec = MethodSpec {
    name: "pdf",
    description: "mixes modalities by the predicted probability of the right class",
    source: "Cao et al., ICML 2024",
    modalities: Modalities::Several,
    usual_head: &SUM,
    heads: Heads::Any,
    tasks: Tasks::Classes("it predicts the probability of the one right class"),
    needs_stages: false,
    options: Options::of::<PdfOptions>(),
    make: |options, setup| Ok(Box::new(Pdf::new(read(options)?, setup)?)),
};

/// Whether the loss of the predicted probabilities also trains the logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegressionTarget {
    /// No: the probabilities are constants.
    #[default]
    Detached,
    /// Yes.
    Live,
}

/// Options of PDF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PdfOptions {
    /// Whether the loss of the predicted probabilities also trains the logits.
    pub target: RegressionTarget,
    /// Whether predictions are calibrated by how far from uniform each modality is.
    pub calibrated: bool,
}

impl Default for PdfOptions {
    fn default() -> Self {
        Self { target: RegressionTarget::default(), calibrated: true }
    }
}

impl OptionSet for PdfOptions {}

/// Keeps the quotient of logarithms apart from 0 / 0.
const TINY: f64 = 1e-8;
/// Logarithms of probabilities count as at most this.
const LARGEST_LOG: f64 = -1e-7;

/// A net that predicts the probability of the right class.
#[derive(Clone, Debug)]
struct Confidence {
    layers: Vec<Linear>,
}

impl Confidence {
    fn new(width: usize, builder: &ParamBuilder) -> Result<Self> {
        let sizes = [(width, 2 * width), (2 * width, width), (width, 1)];
        let layer = |(number, (inputs, outputs)): (usize, (usize, usize))| {
            Linear::new(inputs, outputs, &builder.pp(number))
        };
        let layers = sizes.into_iter().enumerate().map(layer);
        Ok(Self { layers: layers.collect::<tcmax_ops::Result<_>>()? })
    }

    /// The logit of c_m of features (B, D_m): shape (B,).
    fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let through = |x: candle_core::Result<Tensor>, layer: &Linear| layer.forward(&x?);
        Ok(self.layers.iter().fold(Ok(z.detach()), through)?.squeeze(1)?)
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Pdf {
    options: PdfOptions,
    nets: Vec<Confidence>,
}

impl Pdf {
    /// PDF for the modalities of `setup`.
    ///
    /// # Errors
    /// When the name of a parameter is taken.
    pub fn new(options: PdfOptions, setup: &Setup) -> Result<Self> {
        let net = |(m, &width): (usize, &usize)| {
            Confidence::new(width, &setup.own.pp("confidence").pp(m))
        };
        Ok(Self { options, nets: setup.widths.iter().enumerate().map(net).collect::<Result<_>>()? })
    }

    /// The logits of c_m of every modality, each (B,).
    fn predicted(&self, features: &[Tensor]) -> Result<Vec<Tensor>> {
        self.nets.iter().zip(features).map(|(net, z)| net.forward(z)).collect()
    }
}

impl Method for Pdf {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let own = step.head.modality_logits(step.features)?;
        let predicted = self.predicted(step.features)?;
        let confidences = predicted.iter().map(sigmoid).collect::<Result<Vec<_>>>()?;
        let logs = predicted.iter().map(log_sigmoid).collect::<Result<Vec<_>>>()?;
        let logits = mixed(&own, &weights(&logs, None))?;
        let losses = losses(&logits, &own, &confidences, step.labels, self.options.target)?;
        let loss = step.descend(&losses.total()?)?;
        let errors = losses.confidences.iter().map(tcmax_ops::to_scalar_f64);
        let errors = errors.collect::<candle_core::Result<Vec<f64>>>()?;
        Ok(StepOutput::new(loss, &logits).with_metrics("error of the confidence", &errors))
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        let own = head.modality_logits(features)?;
        let logs = self.predicted(features)?;
        let logs = logs.iter().map(log_sigmoid).collect::<Result<Vec<_>>>()?;
        let ratios = self.options.calibrated.then(|| calibration(&own)).transpose()?;
        mixed(&own, &weights(&logs, ratios.as_deref()))
    }
}

/// 1 / (1 + exp(-x)), in a form that never overflows.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((((x * 0.5)?.tanh()? + 1.0)? * 0.5)?)
}

/// Its logarithm, without gradient.
fn log_sigmoid(x: &Tensor) -> Result<Vec<f64>> {
    let of = |x: f64| x.min(0.0) - (-x.abs()).exp().ln_1p();
    Ok(to_vec_f64(x)?.into_iter().map(of).collect())
}

/// h_m of every modality and example, from logarithms of c_m.
///
/// ```
/// use tcmax_losses::methods::pdf::holistic;
///
/// // The first is sure of itself: the second's logarithm is all there is.
/// let h = holistic(&[vec![0.0], vec![-2.0]]);
/// assert!((h[0][0] - 1.0).abs() < 1e-6 && h[1][0] < 1e-6);
/// ```
pub fn holistic(log_confidences: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let log = |m: usize, row: usize| log_confidences[m][row].min(LARGEST_LOG);
    let modalities = log_confidences.len();
    let of = |m: usize| {
        let quotient = |row: usize| {
            let all: f64 = (0..modalities).map(|k| log(k, row)).sum();
            let others: f64 = (0..modalities).filter(|&k| k != m).map(|k| log(k, row)).sum();
            others / (all + TINY)
        };
        (0..log_confidences[m].len()).map(quotient).collect()
    };
    (0..modalities).map(of).collect()
}

/// w_m of every modality and example, from logarithms of c_m and, in prediction, ratios r_m.
pub fn weights(log_confidences: &[Vec<f64>], ratios: Option<&[Vec<f64>]>) -> Vec<Vec<f64>> {
    let mut scores = holistic(log_confidences);
    for (m, (scores, logs)) in scores.iter_mut().zip(log_confidences).enumerate() {
        for (row, (score, log)) in scores.iter_mut().zip(logs).enumerate() {
            *score = (*score + log.exp()) * ratios.map_or(1.0, |ratios| ratios[m][row]);
        }
    }
    // Scores are from 0 to 2, and their exponentials small.
    let total = |row: usize| -> f64 { scores.iter().map(|scores| scores[row].exp()).sum() };
    let of = |scores: &Vec<f64>| {
        scores.iter().enumerate().map(|(row, score)| score.exp() / total(row)).collect()
    };
    scores.iter().map(of).collect()
}

/// U_m = mean_c |softmax(o_m)\[c\] - 1/C| of logits (B, C).
///
/// # Errors
/// When the logits are not of rank 2.
pub fn distance_from_uniform(logits: &Tensor) -> Result<Vec<f64>> {
    let (_, classes) = logits.dims2()?;
    let gaps = (softmax(&wide(&logits.detach())?)? - 1.0 / classes as f64)?;
    Ok(to_vec_f64(&gaps.abs()?.mean(1)?)?)
}

/// r_m of logits (B, C) of every modality: 1 where U_m is at least the mean of the others' U.
///
/// # Errors
/// When the logits are not of rank 2.
pub fn calibration(own: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    let distances = own.iter().map(distance_from_uniform).collect::<Result<Vec<_>>>()?;
    let others = (own.len() as f64 - 1.0).max(1.0);
    let of = |m: usize| {
        let ratio = |(row, &distance): (usize, &f64)| {
            let all: f64 = distances.iter().map(|distances| distances[row]).sum();
            let mean = (all - distance) / others;
            if distance >= mean { 1.0 } else { distance / mean }
        };
        distances[m].iter().enumerate().map(ratio).collect()
    };
    Ok((0..own.len()).map(of).collect())
}

/// sum_m w_m o_m of logits (B, C) and weights without gradient.
///
/// # Errors
/// When shapes do not fit.
pub fn mixed(own: &[Tensor], weights: &[Vec<f64>]) -> Result<Tensor> {
    let weigh = |(logits, weights): (&Tensor, &Vec<f64>)| -> Result<Tensor> {
        let column = Tensor::from_slice(weights, (weights.len(), 1), &Device::Cpu)?;
        Ok(logits.broadcast_mul(&placed_like(&column, logits)?)?)
    };
    Ok(sum_of(&own.iter().zip(weights).map(weigh).collect::<Result<Vec<_>>>()?)?)
}

/// The parts of the loss.
#[derive(Clone, Debug)]
pub struct Losses {
    /// CE(o, y), nats.
    pub fused: Tensor,
    /// CE(o_m, y) of every modality, nats.
    pub own: Vec<Tensor>,
    /// mean |c_m - softmax(o_m)\[y\]| of every modality.
    pub confidences: Vec<Tensor>,
}

impl Losses {
    /// Their sum.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn total(&self) -> Result<Tensor> {
        let parts = std::iter::once(&self.fused).chain(&self.own).chain(&self.confidences);
        Ok(sum_of(&parts.cloned().collect::<Vec<_>>())?)
    }
}

/// The parts of the loss of fused logits (B, C), each modality's logits (B, C), and predicted probabilities c_m (B,).
///
/// # Errors
/// When shapes do not fit.
pub fn losses(
    fused: &Tensor,
    own: &[Tensor],
    confidences: &[Tensor],
    labels: &Labels,
    target: RegressionTarget,
) -> Result<Losses> {
    let ce = own.iter().map(|logits| cross_entropy(logits, labels)).collect::<Result<_>>()?;
    let error = |(logits, confidence): (&Tensor, &Tensor)| -> Result<Tensor> {
        let probability = (labels.pick(logits)? - log_sum_exp(logits, 1)?)?.exp()?;
        let probability = match target {
            RegressionTarget::Detached => probability.detach(),
            RegressionTarget::Live => probability,
        };
        Ok(labels.mean(&(confidence - probability)?.abs()?)?)
    };
    let errors = own.iter().zip(confidences).map(error).collect::<Result<_>>()?;
    Ok(Losses { fused: cross_entropy(fused, labels)?, own: ce, confidences: errors })
}
