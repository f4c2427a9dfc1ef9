//! Multimodal learning with alternating unimodal adaptation (MLA).
//!
//! One head shared by all modalities, and a step of the optimiser for each of them in turn: modality m
//! is trained by CE(g(z_m), y) on the head that the one before it has left. Orthogonal weight
//! modification keeps the head from forgetting: the gradient of its weight is multiplied by a matrix P
//! that grows flat along the mean features r of earlier steps,
//!
//! ```text
//! k = P r,    P <- P - k k' / (alpha + r' k),    P <- P / ||P||_F,    gradient <- gradient P'
//! alpha = 0.1^(batch / batches + 1)
//! ```
//!
//! Predictions are mixed by entropy: f = sum_m w_m g(z_m) with w_m proportional to exp(-H_m).
//! Any number of modalities.
//!
//! The paper's own code never projects (it looks for a parameter by a name that does not exist), so its
//! results are those of `projection = "none"`; and had it projected, it would have divided by a matrix
//! element by element ([`Projection::Elementwise`]).
//!
//! Source: Zhang, Yoon, Bansal, Yao, "Multimodal Representation Learning by Alternating Unimodal
//! Adaptation" (CVPR 2024), equations 4 to 6 and 8.

use candle_core::{D, DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::FusionHead;
use tcmax_fusion::{Modalities, SHARED};
use tcmax_ops::{State, host_f64, log_sum_exp, placed_like, sum_of};
use tcmax_registry::{OptionSet, Options, read};

use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of MLA.
pub static MLA: MethodSpec = MethodSpec {
    name: "mla",
    description: "trains one shared head on the modalities in turn, without forgetting",
    source: "Zhang et al., CVPR 2024",
    modalities: Modalities::Several,
    usual_head: &SHARED,
    heads: Heads::Usual,
    tasks: Tasks::Classes("it mixes modalities by the entropy of a softmax over exclusive classes"),
    needs_stages: false,
    options: Options::of::<MlaOptions>(),
    make: |options, setup| Ok(Box::new(Mla::new(read(options)?, setup)?)),
};

/// Options of MLA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MlaOptions {
    /// How the head's gradient is projected.
    pub projection: Projection,
}

impl OptionSet for MlaOptions {}

/// How the head's gradient is projected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Projection {
    /// Orthogonal weight modification with P normalised.
    #[default]
    Normalised,
    /// Orthogonal weight modification.
    Plain,
    /// With alpha + k r' as a matrix of denominators, normalised: as written in the paper's code.
    Elementwise,
    /// None: what the paper's code does.
    None,
}

/// The matrix P and how it changes.
#[derive(Clone, Debug)]
pub struct Projector {
    matrix: Tensor,
    projection: Projection,
}

impl Projector {
    /// The identity for features of width `width`, in f64 on the CPU.
    ///
    /// # Errors
    /// Only if the matrix cannot be made.
    pub fn new(width: usize, projection: Projection) -> Result<Self> {
        Ok(Self { matrix: Tensor::eye(width, DType::F64, &Device::Cpu)?, projection })
    }

    /// P (D, D).
    pub fn matrix(&self) -> &Tensor {
        &self.matrix
    }

    /// Grows flat along the mean of features (B, D); `progress` is batch / batches of the epoch.
    ///
    /// # Errors
    /// When the width does not fit.
    pub fn update(&mut self, features: &Tensor, progress: f64) -> Result<()> {
        if self.projection == Projection::None {
            return Ok(());
        }
        let alpha = 0.1f64.powf(progress + 1.0);
        let mean = host_f64(features)?.mean_keepdim(0)?;
        let k = self.matrix.matmul(&mean.t()?)?;
        let outer = k.matmul(&k.t()?)?;
        let change = match self.projection {
            Projection::Elementwise => (outer / (k.matmul(&mean)? + alpha)?)?,
            _ => {
                let product = mean.matmul(&k)?.squeeze(1)?.squeeze(0)?.to_scalar::<f64>()?;
                (outer / (alpha + product))?
            }
        };
        self.matrix = (&self.matrix - change)?;
        if self.projection != Projection::Plain {
            let norm = self.matrix.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
            self.matrix = (&self.matrix / norm)?;
        }
        Ok(())
    }

    /// gradient P' of a gradient (C, D).
    ///
    /// # Errors
    /// When the width does not fit.
    pub fn project(&self, gradient: &Tensor) -> Result<Tensor> {
        Ok(gradient.matmul(&placed_like(&self.matrix, gradient)?.t()?)?)
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Mla {
    projector: Projector,
    /// Whether a step has been made: the very first is not projected.
    begun: bool,
}

impl Mla {
    /// MLA for the features of `setup`.
    ///
    /// # Errors
    /// When there are not several modalities, all of one width.
    pub fn new(options: MlaOptions, setup: &Setup) -> Result<Self> {
        let [width, _, ..] = setup.widths[..] else {
            return Err(Error::NeedsSeveralModalities {
                method: MLA.name,
                got: setup.widths.len(),
            });
        };
        if setup.widths.iter().any(|&other| other != width) {
            return Err(Error::UnequalWidths { method: MLA.name, widths: setup.widths.clone() });
        }
        Ok(Self { projector: Projector::new(width, options.projection)?, begun: false })
    }

    fn step_of(&mut self, step: &mut Step<'_>, m: usize) -> Result<f64> {
        // The head as the last modality has left it; the features are still those of the encoders
        // before, which nothing else has touched.
        let own = step.head.modality_logits(step.features)?;
        let loss = cross_entropy(&own[m], step.labels)?;
        let value = crate::finite(&loss)?;
        let mut gradients = step.gradients(&loss)?;
        if self.begun && self.projector.projection != Projection::None {
            let progress = step.clock.batch as f64 / step.clock.batches.max(1) as f64;
            self.projector.update(&step.features[m], progress)?;
            let weights = step.head.class_vectors()?.unwrap_or_default();
            // The head has to hand out its very parameter: a copy has no gradient, and the projection
            // would never take place.
            let unprojected = || Error::NoHeadGradient { method: MLA.name, modality: m };
            let weight = weights.get(m).ok_or_else(unprojected)?;
            let gradient = gradients.remove(weight).ok_or_else(unprojected)?;
            gradients.insert(weight, self.projector.project(&gradient)?);
        }
        self.begun = true;
        (step.update)(&mut gradients)?;
        Ok(value)
    }
}

impl Method for Mla {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let losses =
            (0..step.modalities()).map(|m| self.step_of(step, m)).collect::<Result<Vec<f64>>>()?;
        let own = step.head.modality_logits(step.features)?;
        let output = StepOutput::new(losses.iter().sum::<f64>(), &mixed(&own)?);
        Ok(output.with_metrics("loss", &losses))
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        mixed(&head.modality_logits(features)?)
    }

    fn state(&self) -> Result<State> {
        let begun = Tensor::new(f64::from(u8::from(self.begun)), &Device::Cpu)?;
        let matrix = self.projector.matrix.clone();
        Ok(State::from([("projector".to_owned(), matrix), ("begun".to_owned(), begun)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let (matrix, held) = (crate::state::tensor(state, "projector")?, &self.projector.matrix);
        if matrix.dims() != held.dims() {
            let (got, wanted) = (matrix.elem_count(), held.elem_count());
            return Err(Error::WrongState { name: "projector".to_owned(), got, wanted });
        }
        self.projector.matrix = host_f64(matrix)?;
        self.begun = crate::state::vector(state, "begun", 1)?[0] != 0.0;
        Ok(())
    }
}

/// sum_m w_m f_m of logits (N, C), with w_m = exp(-H_m) / sum exp(-H) and H_m the entropy of
/// softmax(f_m), nats.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn mixed(own: &[Tensor]) -> Result<Tensor> {
    let certainty = |logits: &Tensor| -> Result<Tensor> {
        // log p is finite wherever the logits are, so p log p is 0 where p vanishes.
        let log_p = logits.broadcast_sub(&log_sum_exp(logits, 1)?.unsqueeze(1)?)?;
        Ok((log_p.exp()? * log_p)?.sum_keepdim(D::Minus1)?)
    };
    let negative = own.iter().map(certainty).collect::<Result<Vec<_>>>()?;
    let all = Tensor::cat(&negative, 1)?;
    let log_total = log_sum_exp(&all, 1)?.unsqueeze(1)?;
    let weigh = |(logits, negative): (&Tensor, &Tensor)| -> Result<Tensor> {
        Ok(logits.broadcast_mul(&(negative - &log_total)?.exp()?)?)
    };
    Ok(sum_of(&own.iter().zip(&negative).map(weigh).collect::<Result<Vec<_>>>()?)?)
}
