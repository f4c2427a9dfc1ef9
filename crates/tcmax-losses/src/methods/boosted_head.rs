//! The head of ReconBoost: one layer or two for every modality, and a trained factor.
//!
//! ```text
//! o_k = Phi(z_k),    F = rho sum_k o_k
//! ```
//!
//! Its parameters are the method's own: `phi.weight` and `phi.bias`, or `phi.0.*` and `phi.2.*`, and `rho`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_fusion::FusionHead;
use tcmax_ops::{Init, Linear, ParamBuilder, relu, sum_of};

use crate::Result;

/// What Phi is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PhiKind {
    /// One linear layer.
    Linear,
    /// A linear layer, ReLU, and another linear layer.
    #[default]
    Mlp,
}

/// One head Phi for all modalities, with a number rho in front of its sum: F = rho sum_k Phi(z_k).
#[derive(Clone, Debug)]
pub struct BoostedHead {
    widths: Vec<usize>,
    layers: Vec<Linear>,
    rho: Tensor,
}

impl BoostedHead {
    /// A head for features of the given widths, which are equal, with rho at its start; `hidden` is the width between
    /// the layers of an `mlp`.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(
        widths: &[usize],
        classes: usize,
        (kind, hidden): (PhiKind, usize),
        rho: f64,
        own: &ParamBuilder,
    ) -> Result<Self> {
        let width = widths.first().copied().unwrap_or(0);
        let phi = own.pp("phi");
        let layers = match kind {
            PhiKind::Linear => vec![Linear::new(width, classes, &phi)?],
            PhiKind::Mlp => vec![
                Linear::new(width, hidden, &phi.pp("0"))?,
                Linear::new(hidden, classes, &phi.pp("2"))?,
            ],
        };
        let rho = own.param("rho", (), Init::Const(rho))?;
        Ok(Self { widths: widths.to_vec(), layers, rho })
    }

    /// rho, a scalar.
    pub fn rho(&self) -> &Tensor {
        &self.rho
    }

    /// F (N, C) of the logits o_k.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn fused(&self, own: &[Tensor]) -> Result<Tensor> {
        Ok(sum_of(own)?.broadcast_mul(&self.rho)?)
    }

    fn phi(&self, z: &Tensor) -> candle_core::Result<Tensor> {
        let (first, rest) = self.layers.split_at(1);
        let mut x = first[0].forward(z)?;
        for layer in rest {
            x = layer.forward(&relu(&x)?)?;
        }
        Ok(x)
    }
}

impl Critic for BoostedHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.layers.last().map_or(0, Linear::outputs)
    }

    /// rho Phi(z_k), each (N, C).
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        let own = self.modality_logits(z)?;
        let scaled = own.iter().map(|logits| logits.broadcast_mul(&self.rho));
        Ok(scaled.collect::<candle_core::Result<_>>()?)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        let layers = self.layers.iter().flat_map(Linear::parameters);
        layers.chain([self.rho.clone()]).collect()
    }
}

impl FusionHead for BoostedHead {
    /// Phi(z_k), each (N, C).
    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        Ok(z.iter().map(|z| self.phi(z)).collect::<candle_core::Result<_>>()?)
    }
}
