//! Gating: a sigmoid of one modality lets features of the other through.
//!
//! ```text
//! h_m = W_m z_m + b_m,      f = V (sigmoid(h_1) * h_2) + d
//! ```
//!
//! with z_1 the modality that gates. Two modalities, not additive. Logits of one modality alone are
//! those beside zeros.
//!
//! Source: Kiela, Grave, Joulin, Mikolov, "Efficient Large-Scale Multi-Modal Classification"
//! (AAAI 2018), section "gated". PyTorch names: `fc_x.*`, `fc_y.*`, `fc_out.*`.

use candle_core::Tensor;
use tcmax_estimators::{Critic, Tuples};
use tcmax_ops::ParamBuilder;

use crate::affine::{Layer, beside_zeros, check_features};
use crate::head::{Conditioning, two_widths};
use crate::{FusionHead, Result};

/// The gated head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{Conditioning, GatedHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = GatedHead::new(&[3, 5], 16, 2, Conditioning::ByFirst, &builder)?;
/// let a = Tensor::ones((8, 3), DType::F64, &Device::Cpu)?;
/// let v = Tensor::ones((8, 5), DType::F64, &Device::Cpu)?;
/// assert_eq!(head.scores(&[a, v])?.dims(), [8, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GatedHead {
    widths: [usize; 2],
    conditioning: Conditioning,
    layers: [Layer; 2],
    out: Layer,
}

/// Names of the three layers.
const NAMES: [&str; 3] = ["fc_x", "fc_y", "fc_out"];

impl GatedHead {
    /// A new head for features of two widths, with `hidden` units to gate.
    ///
    /// # Errors
    /// When there are not two modalities, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: usize,
        classes: usize,
        conditioning: Conditioning,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let widths = two_widths(widths, "gated")?;
        Self::named(widths, [hidden, classes], conditioning, NAMES, builder)
    }

    pub(crate) fn named(
        widths: [usize; 2],
        [hidden, classes]: [usize; 2],
        conditioning: Conditioning,
        [x, y, out]: [&str; 3],
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let layers = [
            Layer::new(&builder.pp(x), widths[0], hidden)?,
            Layer::new(&builder.pp(y), widths[1], hidden)?,
        ];
        let out = Layer::new(&builder.pp(out), hidden, classes)?;
        Ok(Self { widths, conditioning, layers, out })
    }

    /// W_m z_m + b_m of both modalities.
    fn hidden(&self, features: &[Tensor]) -> tcmax_estimators::Result<[Tensor; 2]> {
        check_features(features, &self.widths)?;
        Ok([self.layers[0].forward(&features[0])?, self.layers[1].forward(&features[1])?])
    }

    fn gate(&self, hidden: [&Tensor; 2]) -> tcmax_estimators::Result<Tensor> {
        let [gate, gated] = self.conditioning.order(hidden);
        self.out.forward(&(candle_nn::ops::sigmoid(gate)? * gated)?)
    }
}

impl Critic for GatedHead {
    fn num_variables(&self) -> usize {
        2
    }

    fn num_outcomes(&self) -> usize {
        self.out.outputs()
    }

    fn scores(&self, features: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let [x, y] = self.hidden(features)?;
        self.gate([&x, &y])
    }

    fn additive_terms(&self, _: &[Tensor]) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    fn tuple_scores(
        &self,
        features: &[Tensor],
        tuples: &Tuples,
    ) -> tcmax_estimators::Result<Tensor> {
        self.part_scores(&self.row_parts(features)?, tuples)
    }

    fn row_parts(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        Ok(self.hidden(features)?.to_vec())
    }

    fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> tcmax_estimators::Result<Tensor> {
        let rows = tuples.gather(parts)?;
        self.gate([&rows[0], &rows[1]])
    }
}

impl FusionHead for GatedHead {
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        (0..2).map(|m| self.scores(&beside_zeros(features, m)?)).collect()
    }

    fn parameters(&self) -> Vec<Tensor> {
        let [x, y] = &self.layers;
        [x.parameters(), y.parameters(), self.out.parameters()].concat()
    }
}
