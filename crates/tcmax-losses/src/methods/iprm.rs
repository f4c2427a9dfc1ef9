//! Instantaneous probe-and-rebalance (IPRM): features are mixed on the sphere by what a probe finds.
//!
//! With a and v the features of length one, Omega the angle between them, f_0 and f_1 the logits of each modality alone
//! and f a layer of the method's own,
//!
//! ```text
//! mix(l) = (sin(l_0 Omega) a + sin(l_1 Omega) v) / sin Omega
//! probe:      KL_m = mean KL(softmax f_m || softmax f(mix(l)))
//! estimate:   e_0 = KL_1 / (KL_0 + KL_1),   e_1 = 1 - e_0
//! L = CE(f(mix(e)), y) + CE(f_0, y) + CE(f_1, y)                   (nats; no gradient through e)
//! ```
//!
//! l is (1/2, 1/2) in the first batch; then alpha l + (1 - alpha) e of the batch before. The modality from which the
//! mixture is further away gets the smaller weight. Predictions are f(mix(l)) + f_0 + f_1 with the last batch's l, as in
//! the released code. Two modalities with features of one width.
//!
//! The coefficients of a and v are functions of the one number Omega: their values and derivatives are computed from
//! closed forms in f64, with the limits for parallel features in place of 0 / 0 (the code adds 1e-8 to sin Omega). For
//! opposite ones there is no shortest path between them, and Omega counts as at most pi - 1e-6.
//!
//! Source: "Towards Equilibrium: An Instantaneous Probe-and-Rebalance Multimodal Learning Approach" (IJCAI 2025),
//! and its released code.

use std::f64::consts::PI;

use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SUM, normalised};
use tcmax_ops::{Linear, host_f64, log_sum_exp, placed_like, softmax, sum_of, to_vec_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use super::pair::pair;
use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of IPRM.
pub static IPRM: MethodSpec = MethodSpec {
    name: "iprm",
    description: "mixes features on the sphere by weights that a probe finds",
    source: "IJCAI 2025",
    modalities: Modalities::Two,
    usual_head: &SUM,
    heads: Heads::Any,
    tasks: Tasks::Classes("its probe compares softmaxes over exclusive classes"),
    needs_stages: false,
    options: Options::of::<IprmOptions>(),
    make: |options, setup| Ok(Box::new(Iprm::new(read(options)?, setup)?)),
};

/// Options of IPRM.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IprmOptions {
    /// How much of the running weights stays in each batch.
    pub alpha: f64,
}

impl Default for IprmOptions {
    fn default() -> Self {
        Self { alpha: 0.8 }
    }
}

impl OptionSet for IprmOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((0.0..=1.0).contains(&self.alpha), "alpha", "must be a number from 0 to 1")
    }
}

/// The largest angle that counts.
const LARGEST_ANGLE: f64 = PI - 1e-6;
/// Below this angle the coefficients are those of nearly parallel vectors.
const SMALL_ANGLE: f64 = 1e-4;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Iprm {
    options: IprmOptions,
    /// f.
    mix: Linear,
    /// l of the last batch: what predictions mix by.
    running: Var,
    /// e of the last batch.
    estimate: Var,
}

/// What a probe finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// KL_m, nats.
    pub divergences: [f64; 2],
    /// e.
    pub estimate: [f64; 2],
}

impl Iprm {
    /// IPRM for the modalities and classes of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, there are not two modalities of one width, or the name of a parameter is taken.
    pub fn new(options: IprmOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let widths = pair(IPRM.name, &setup.widths)?;
        if widths[0] != widths[1] {
            return Err(Error::UnequalWidths { method: IPRM.name, widths: widths.to_vec() });
        }
        let mix = Linear::new(widths[0], setup.classes, &setup.own.pp("mix"))?;
        let buffer = |name: &str| setup.own.buffer(name, 2, 0.5);
        Ok(Self { options, mix, running: buffer("running")?, estimate: buffer("estimate")? })
    }

    /// l, as the last batch was probed with.
    fn running(&self) -> Result<[f64; 2]> {
        pair(IPRM.name, &to_vec_f64(self.running.as_tensor())?)
    }

    /// f of features mixed by weights.
    fn mixed(&self, features: &[Tensor], weights: [f64; 2]) -> Result<Tensor> {
        let [first, second] = features else {
            return Err(Error::NeedsTwoModalities { method: IPRM.name, got: features.len() });
        };
        Ok(self.mix.forward(&on_sphere(first, second, weights.map(|weight| vec![weight]))?)?)
    }

    /// The running weights of this batch: at first both buffers hold 1/2, and so does their mean.
    fn advance(&self) -> Result<[f64; 2]> {
        let estimate = pair(IPRM.name, &to_vec_f64(self.estimate.as_tensor())?)?;
        let (running, alpha) = (self.running()?, self.options.alpha);
        let next = [0, 1].map(|m| alpha * running[m] + (1.0 - alpha) * estimate[m]);
        store(&self.running, next)?;
        Ok(next)
    }
}

fn store(buffer: &Var, values: [f64; 2]) -> Result<()> {
    Ok(buffer.set(&placed_like(&Tensor::new(&values, &Device::Cpu)?, buffer.as_tensor())?)?)
}

impl Method for Iprm {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let own = step.head.modality_logits(step.features)?;
        let running = self.advance()?;
        let Probe { divergences, estimate } = probe(&own, &self.mixed(step.features, running)?)?;
        store(&self.estimate, estimate)?;
        let mixed = self.mixed(step.features, estimate)?;
        let mut losses = vec![cross_entropy(&mixed, step.labels)?];
        for logits in &own {
            losses.push(cross_entropy(logits, step.labels)?);
        }
        let loss = step.descend(&sum_of(&losses)?)?;
        let logits = (sum_of(&own)? + mixed)?;
        Ok(StepOutput::new(loss, &logits)
            .with_metrics("running weight", &running)
            .with_metrics("weight", &estimate)
            .with_metrics("divergence", &divergences))
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        let own = sum_of(&head.modality_logits(features)?)?;
        Ok((own + self.mixed(features, self.running()?)?)?)
    }
}

/// How far the mixture is from each of two modalities, from logits (B, C), and the weights that follow.
///
/// # Errors
/// When shapes do not fit, or there are not two modalities.
pub fn probe(own: &[Tensor], mixed: &Tensor) -> Result<Probe> {
    let of = |logits: &Tensor| divergence(logits, mixed);
    let divergences = pair(IPRM.name, &own.iter().map(of).collect::<Result<Vec<_>>>()?)?;
    let total = divergences[0] + divergences[1];
    // A mixture that agrees with both favours neither.
    let first = if total > 0.0 { divergences[1] / total } else { 0.5 };
    Ok(Probe { divergences, estimate: [first, 1.0 - first] })
}

/// mean KL(softmax one || softmax other) of logits (B, C), nats.
fn divergence(one: &Tensor, other: &Tensor) -> Result<f64> {
    let (one, other) = (wide(&one.detach())?, wide(&other.detach())?);
    let log = |x: &Tensor| x.broadcast_sub(&log_sum_exp(x, 1)?.unsqueeze(1)?);
    let terms = (softmax(&one)? * (log(&one)? - log(&other)?)?)?;
    // Rounding may leave something below 0.
    Ok(tcmax_ops::to_scalar_f64(&terms.sum(1)?.mean_all()?)?.max(0.0))
}

/// mix(l) of features (B, D) of two modalities; l_m is one weight for all examples, or one for each.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_losses::methods::iprm::on_sphere;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let of = |values: [f64; 2]| Tensor::new(&[values], &Device::Cpu);
/// let middle = on_sphere(&of([3.0, 0.0])?, &of([0.0, 0.2])?, [vec![0.5], vec![0.5]])?;
/// let half = 0.5f64.sqrt();
/// assert!(middle.to_vec2::<f64>()?[0].iter().all(|x| (x - half).abs() < 1e-12));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When shapes do not fit.
pub fn on_sphere(first: &Tensor, second: &Tensor, weights: [Vec<f64>; 2]) -> Result<Tensor> {
    let (first, second) = (normalised(first)?, normalised(second)?);
    let cosine = (&first * &second)?.sum_keepdim(1)?;
    let angles = angles(&first, &second)?;
    let [one, other] = weights.map(|weights| -> Result<Tensor> {
        let of = |(row, &angle): (usize, &f64)| {
            coefficient(angle, weights[if weights.len() == 1 { 0 } else { row }])
        };
        let (values, slopes): (Vec<f64>, Vec<f64>) = angles.iter().enumerate().map(of).unzip();
        let column = |values: Vec<f64>| -> Result<Tensor> {
            let rows = values.len();
            Ok(placed_like(&Tensor::from_vec(values, (rows, 1), &Device::Cpu)?, &cosine)?)
        };
        // The value in closed form, with the derivative with respect to the cosine.
        let change = ((&cosine - cosine.detach())? * column(slopes)?)?;
        Ok((column(values)? + change)?)
    });
    Ok((first.broadcast_mul(&one?)? + second.broadcast_mul(&other?)?)?)
}

/// The angle between rows of length one: exact also where they are nearly parallel or opposite, as their cosine is not.
fn angles(first: &Tensor, second: &Tensor) -> Result<Vec<f64>> {
    let length = |x: Tensor| to_vec_f64(&x.sqr()?.sum(1)?.sqrt()?);
    let (first, second) = (host_f64(first)?, host_f64(second)?);
    let (apart, together) = (length((&first - &second)?)?, length((&first + &second)?)?);
    let angle = |(apart, together): (&f64, &f64)| (2.0 * apart.atan2(*together)).min(LARGEST_ANGLE);
    Ok(apart.iter().zip(&together).map(angle).collect())
}

/// sin(l Omega) / sin Omega, and its derivative with respect to cos Omega.
fn coefficient(angle: f64, weight: f64) -> (f64, f64) {
    if angle < SMALL_ANGLE {
        let slope = -weight * (1.0 - weight * weight) / 3.0;
        return (weight * (1.0 + (1.0 - weight * weight) * angle * angle / 6.0), slope);
    }
    let (sin, cos) = angle.sin_cos();
    let (part_sin, part_cos) = (weight * angle).sin_cos();
    let by_angle = (weight * part_cos * sin - part_sin * cos) / (sin * sin);
    (part_sin / sin, -by_angle / sin)
}
