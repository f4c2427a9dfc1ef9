//! MMPareto: multimodal and unimodal gradients that do not fight each other.
//!
//! Every encoder has two gradients, g of the fused loss and u of its modality's own. Where they agree
//! (g'u > 0) they are added; where they conflict, they are weighed by the shortest convex combination
//! k_0 g + k_1 u. The result keeps the direction 2 (k_0 g + k_1 u) of each parameter, and at least the
//! length of the plain sum, times gamma:
//!
//! ```text
//! new <- d * gamma * max(||g + u_1 + ... + u_M|| / ||d||, 1),    d = 2 (k_0 g + k_1 u)
//! ```
//!
//! The head gets the plain sum of all gradients. Any number of modalities.
//!
//! Source: Wei, Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance"
//! (ICML 2024), algorithm 1; shortest combinations are those of Sener and Koltun, "Multi-Task Learning
//! as Multi-Objective Optimization" (NeurIPS 2018).

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{Modalities, SPECIFIC};
use tcmax_ops::{to_scalar_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::gradients::{inner, weighted};
use crate::{Heads, Method, MethodSpec, Result, Step, StepOutput, Target, Targets, Tasks};

/// The specification of MMPareto.
pub static MM_PARETO: MethodSpec = MethodSpec {
    name: "mm-pareto",
    description: "joins fused and unimodal gradients without conflict",
    source: "Wei and Hu, ICML 2024",
    modalities: Modalities::Several,
    usual_head: &SPECIFIC,
    heads: Heads::Any,
    tasks: Tasks::Discrete(
        "a sum of outputs and each of them, which it trains together, cannot all be the same number",
    ),
    needs_stages: false,
    options: Options::of::<MmParetoOptions>(),
    make: |options, _| Ok(Box::new(MmPareto::new(read(options)?)?)),
};

/// Options of MMPareto.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MmParetoOptions {
    /// Factor of every encoder's gradient.
    pub gamma: f64,
}

impl Default for MmParetoOptions {
    fn default() -> Self {
        Self { gamma: 1.5 }
    }
}

impl OptionSet for MmParetoOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.gamma.is_finite() && self.gamma > 0.0;
        require(fits, "gamma", "must be a positive number")
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct MmPareto {
    options: MmParetoOptions,
}

impl MmPareto {
    /// The method.
    ///
    /// # Errors
    /// When gamma is not a positive number.
    pub fn new(options: MmParetoOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl Method for MmPareto {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        self.train(step)
    }

    fn step_on(&mut self, step: &mut Step<'_, Targets>) -> Result<StepOutput> {
        self.train(step)
    }
}

impl MmPareto {
    fn train<Y: Target>(self, step: &mut Step<'_, Y>) -> Result<StepOutput> {
        let (logits, own) = step.head.all_logits(step.features)?;
        let fused = step.labels.loss(&logits)?;
        let mut value = crate::finite(&fused)?;
        let fused = step.gradients(&fused)?;
        let mut unimodal = Vec::with_capacity(own.len());
        for logits in &own {
            let loss = step.labels.loss(logits)?;
            value += crate::finite(&loss)?;
            unimodal.push(step.gradients(&loss)?);
        }
        let mut shares = Vec::with_capacity(own.len());
        let mut gradients = summed(&fused, &unimodal, &step.groups.head)?;
        for (vars, u) in step.groups.encoders.iter().zip(&unimodal) {
            let weights = encoder_weights(&fused, u, vars)?;
            shares.push(weights[0]);
            for var in vars {
                let all: Vec<&GradStore> = std::iter::once(&fused).chain(&unimodal).collect();
                let new = balanced(var, &fused, u, &all, weights, self.options.gamma)?;
                if let Some(new) = new {
                    gradients.insert(var.as_tensor(), new);
                }
            }
        }
        (step.update)(&mut gradients)?;
        Ok(StepOutput::new(value, &logits).with_metrics("share of the fused gradient", &shares))
    }
}

/// The plain sum of the gradients of `vars`, in a new store.
fn summed(fused: &GradStore, unimodal: &[GradStore], vars: &[Var]) -> Result<GradStore> {
    // candle has no constructor of an empty store; that of a constant is empty.
    let nothing = Tensor::new(0f32, &candle_core::Device::Cpu)?;
    let mut gradients = nothing.backward()?;
    gradients.remove(&nothing);
    let parts: Vec<(f64, &GradStore)> =
        std::iter::once(fused).chain(unimodal).map(|store| (1.0, store)).collect();
    for var in vars {
        if let Some(sum) = weighted(&parts, var)? {
            gradients.insert(var.as_tensor(), sum);
        }
    }
    Ok(gradients)
}

/// k_0 and k_1 of one encoder: one half each where the gradients agree.
///
/// # Errors
/// Only if the device fails.
pub fn encoder_weights(fused: &GradStore, own: &GradStore, vars: &[Var]) -> Result<[f64; 2]> {
    let product = inner(fused, own, vars)?;
    if product > 0.0 {
        return Ok([0.5, 0.5]);
    }
    Ok(min_norm_pair([inner(fused, fused, vars)?, inner(own, own, vars)?, product]).0)
}

/// The new gradient of one parameter, from those of the fused loss, its modality's own, and all.
///
/// # Errors
/// Only if the device fails.
pub fn balanced(
    var: &Var,
    fused: &GradStore,
    own: &GradStore,
    all: &[&GradStore],
    [k_0, k_1]: [f64; 2],
    gamma: f64,
) -> Result<Option<Tensor>> {
    let Some(new) = weighted(&[(2.0 * k_0, fused), (2.0 * k_1, own)], var)? else {
        return Ok(None);
    };
    let everything: Vec<(f64, &GradStore)> = all.iter().map(|store| (1.0, *store)).collect();
    let plain = weighted(&everything, var)?.map_or(Ok(0.0), |sum| norm(&sum))?;
    let length = norm(&new)?;
    // A gradient of zero stays one: there is no direction to keep.
    let ratio = if length > 0.0 { (plain / length).max(1.0) } else { 1.0 };
    Ok(Some((new * (gamma * ratio))?))
}

fn norm(gradient: &Tensor) -> Result<f64> {
    Ok(to_scalar_f64(&wide(gradient)?.sqr()?.sum_all()?)?.sqrt())
}

/// The shortest convex combination of two vectors, from their squared lengths and their product
/// \[a'a, b'b, a'b\]: weights, and the squared length.
///
/// Where one vector alone is the shortest, the other keeps a weight of 0.001.
///
/// ```
/// let ([a, b], length) = tcmax_losses::methods::mm_pareto::min_norm_pair([1.0, 1.0, 0.0]);
/// assert_eq!((a, b, length), (0.5, 0.5, 0.5));
/// ```
pub fn min_norm_pair([aa, bb, ab]: [f64; 3]) -> ([f64; 2], f64) {
    if ab >= aa {
        return ([0.999, 0.001], aa);
    }
    if ab >= bb {
        return ([0.001, 0.999], bb);
    }
    let share = (bb - ab) / (aa + bb - 2.0 * ab);
    ([share, 1.0 - share], bb + share * (ab - bb))
}

/// The shortest convex combination of any number of vectors, from their Gram matrix G: weights c >= 0
/// of sum 1 that minimise c'Gc.
///
/// Pairwise descent: weight moves along the pair of vectors that shortens the combination most, in
/// closed form, until no pair gains anything.
pub fn min_norm(gram: &[Vec<f64>]) -> Vec<f64> {
    let count = gram.len();
    let mut weights = vec![1.0 / count.max(1) as f64; count];
    let largest = (0..count).map(|i| gram[i][i].abs()).fold(0.0, f64::max);
    for _ in 0..100_000 {
        let slope: Vec<f64> =
            gram.iter().map(|row| row.iter().zip(&weights).map(|(g, c)| g * c).sum()).collect();
        // Weight goes from the entry with the steepest slope that has any, to the flattest.
        let to = (0..count).min_by(|&i, &j| slope[i].total_cmp(&slope[j]));
        let with_weight = (0..count).filter(|&i| weights[i] > 0.0);
        let from = with_weight.max_by(|&i, &j| slope[i].total_cmp(&slope[j]));
        let (Some(to), Some(from)) = (to, from) else { break };
        let gain = slope[from] - slope[to];
        if gain <= 1e-15 * largest {
            break;
        }
        let curvature = gram[from][from] + gram[to][to] - 2.0 * gram[from][to];
        let step =
            if curvature > 0.0 { (gain / curvature).min(weights[from]) } else { weights[from] };
        weights[from] -= step;
        weights[to] += step;
    }
    weights
}
