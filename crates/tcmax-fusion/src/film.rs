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
//! Conditioning Linear" (AAAI 2018), equation 2. PyTorch names: `fc.*` and `fc_out.*`.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Linear, ParamBuilder};
use tcmax_registry::Options;

use crate::affine::{beside_zeros, columns};
use crate::head::{Conditioning, two_widths};
use crate::{FusionHead, HeadSpec, Modalities, Result};

/// The specification of [`FilmHead`] in which the first modality conditions the second.
pub static FILM: HeadSpec = HeadSpec {
    name: "film",
    description: "the first modality scales and shifts the second's features",
    source: "Perez et al., AAAI 2018",
    modalities: Modalities::Two,
    additive: false,
    options: Options::NONE,
    make: |_, widths, classes, builder| film(Conditioning::ByFirst, widths, classes, builder),
};

/// The specification of [`FilmHead`] in which the second modality conditions the first.
pub static FILM_REVERSED: HeadSpec = HeadSpec {
    name: "film-reversed",
    description: "the second modality scales and shifts the first's features",
    source: "Perez et al., AAAI 2018",
    modalities: Modalities::Two,
    additive: false,
    options: Options::NONE,
    make: |_, widths, classes, builder| film(Conditioning::BySecond, widths, classes, builder),
};

fn film(
    conditioning: Conditioning,
    widths: &[usize],
    classes: usize,
    builder: &ParamBuilder,
) -> Result<Box<dyn FusionHead>> {
    Ok(Box::new(FilmHead::new(widths, classes, conditioning, builder)?))
}

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
    film: Linear,
    out: Linear,
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
        let film = Linear::new(conditions, 2 * conditioned, &builder.pp("fc"))?;
        let out = Linear::new(conditioned, classes, &builder.pp("fc_out"))?;
        Ok(Self { widths, conditioning, film, out })
    }
}

impl Critic for FilmHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.out.outputs()
    }

    /// \[gamma; beta\] (N, 2 D) of the conditioning modality, and the features (N, D) they modulate.
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        let [conditions, conditioned] = self.conditioning.order([&z[0], &z[1]]);
        let parts = [self.film.forward(conditions)?, conditioned.clone()];
        Ok(self.conditioning.order(parts).to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let [film, conditioned] = self.conditioning.order([&parts[0], &parts[1]]);
        let width = conditioned.dim(1)?;
        let (gamma, beta) = (columns(film, 0, width)?, columns(film, width, width)?);
        Ok(self.out.forward(&((gamma * conditioned)? + beta)?)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        [self.film.parameters(), self.out.parameters()].concat()
    }
}

impl FusionHead for FilmHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let [conditions, conditioned] = self.conditioning.order([&z[0], &z[1]]);
        let film = graph.linear("fc", conditions)?;
        let [_, width] = self.conditioning.order(self.widths);
        let gamma = graph.columns(&film, 0, width);
        let beta = graph.columns(&film, width, 2 * width);
        let scaled = graph.mul(&gamma, conditioned);
        let shifted = graph.add(&scaled, &beta);
        graph.linear("fc_out", &shifted)
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        (0..2).map(|m| self.scores(&beside_zeros(z, m)?)).collect()
    }
}
