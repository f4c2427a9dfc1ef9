//! FiLM: one modality scales and shifts the features of the other.
//!
//! ```text
//! [gamma; beta] = W z_1 + b,      f = V (gamma * z_2 + beta) + d
//! ```
//!
//! with z_1 the conditioning modality. Two modalities, not additive. Logits of one modality alone are
//! those beside zeros, which the head was never trained on: judge modalities by probes.
//!
//! Source: Perez, Strub, de Vries, Dumoulin, Courville, "FiLM: Visual Reasoning with a General
//! Conditioning Layer" (AAAI 2018), equation 2. PyTorch names: `fc.*` and `fc_out.*`.

use candle_core::Tensor;
use tcmax_estimators::{Critic, Tuples};
use tcmax_ops::ParamBuilder;

use crate::affine::{Layer, beside_zeros, check_features, columns};
use crate::head::{Conditioning, two_widths};
use crate::{FusionHead, Result};

/// The FiLM head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{Conditioning, FilmHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// // The second modality, of 5 features, conditions the first, of 3.
/// let head = FilmHead::new(&[3, 5], 2, Conditioning::BySecond, &builder)?;
/// let features = [(8, 3), (8, 5)].map(|shape| Tensor::ones(shape, DType::F64, &Device::Cpu));
/// let [a, v] = features;
/// assert_eq!(head.scores(&[a?, v?])?.dims(), [8, 2]);
/// assert!(FilmHead::new(&[3, 5, 7], 2, Conditioning::ByFirst, &builder).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FilmHead {
    widths: [usize; 2],
    conditioning: Conditioning,
    film: Layer,
    out: Layer,
}

impl FilmHead {
    /// A new head for features of two widths.
    ///
    /// # Errors
    /// When there are not two modalities, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        classes: usize,
        conditioning: Conditioning,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let widths = two_widths(widths, "film")?;
        let [conditions, conditioned] = conditioning.order(widths);
        let film = Layer::new(&builder.pp("fc"), conditions, 2 * conditioned)?;
        let out = Layer::new(&builder.pp("fc_out"), conditioned, classes)?;
        Ok(Self { widths, conditioning, film, out })
    }

    /// Logits from \[gamma; beta\] and the features they modulate.
    fn modulated(&self, film: &Tensor, features: &Tensor) -> tcmax_estimators::Result<Tensor> {
        let width = features.dim(1)?;
        let (gamma, beta) = (columns(film, 0, width)?, columns(film, width, width)?);
        self.out.forward(&((gamma * features)? + beta)?)
    }
}

impl Critic for FilmHead {
    fn num_variables(&self) -> usize {
        2
    }

    fn num_outcomes(&self) -> usize {
        self.out.outputs()
    }

    fn scores(&self, features: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        check_features(features, &self.widths)?;
        let [conditions, conditioned] = self.conditioning.order([&features[0], &features[1]]);
        self.modulated(&self.film.forward(conditions)?, conditioned)
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
        check_features(features, &self.widths)?;
        let [conditions, conditioned] = self.conditioning.order([&features[0], &features[1]]);
        let parts = [self.film.forward(conditions)?, conditioned.clone()];
        Ok(self.conditioning.order(parts).to_vec())
    }

    fn part_scores(&self, parts: &[Tensor], tuples: &Tuples) -> tcmax_estimators::Result<Tensor> {
        let rows = tuples.gather(parts)?;
        let [film, conditioned] = self.conditioning.order([&rows[0], &rows[1]]);
        self.modulated(film, conditioned)
    }
}

impl FusionHead for FilmHead {
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        (0..2).map(|m| self.scores(&beside_zeros(features, m)?)).collect()
    }

    fn parameters(&self) -> Vec<Tensor> {
        [self.film.parameters(), self.out.parameters()].concat()
    }
}
