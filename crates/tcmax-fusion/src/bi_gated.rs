//! Gating both ways: the sum of two [gated heads](crate::GatedHead), in which either modality gates
//! the other.
//!
//! Logits of the first modality alone are those of the half in which the second one gates, beside
//! zeros (every gate half open), and the other way round, as in the paper's code.
//!
//! PyTorch names: `fc_xgate_x.*`, `fc_xgate_y.*`, `fc_xgate_out.*` for the half in which the first
//! modality gates, `fc_ygate_*` for the other.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::ParamBuilder;
use tcmax_registry::{Options, read};

use crate::affine::{beside_zeros, columns};
use crate::head::{Conditioning, two_widths};
use crate::{FusionHead, GatedHead, GatedOptions, HeadSpec, Modalities, Result};

/// The specification of [`BiGatedHead`].
pub static BI_GATED: HeadSpec = HeadSpec {
    name: "bi-gated",
    description: "the sum of both gated heads",
    source: "Kiela et al., AAAI 2018",
    modalities: Modalities::Two,
    additive: false,
    options: Options::of::<GatedOptions>(),
    make: |options, widths, classes, builder| {
        let hidden = read::<GatedOptions>(options)?.units(widths);
        Ok(Box::new(BiGatedHead::new(widths, hidden, classes, builder)?))
    },
};

/// The bi-gated head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{BiGatedHead, FusionHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = BiGatedHead::new(&[3, 5], 16, 2, &builder)?;
/// assert_eq!(head.parameters().len(), 12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BiGatedHead {
    by_first: GatedHead,
    by_second: GatedHead,
    hidden: usize,
}

/// Names of the layers of the half in which the first modality gates.
const BY_FIRST: [&str; 3] = ["fc_xgate_x", "fc_xgate_y", "fc_xgate_out"];
/// Names of the layers of the other half.
const BY_SECOND: [&str; 3] = ["fc_ygate_x", "fc_ygate_y", "fc_ygate_out"];

impl BiGatedHead {
    /// A new head for features of two widths, with `hidden` units to gate in each half.
    ///
    /// # Errors
    /// When there are not two modalities, or a parameter name is taken.
    pub fn new(
        widths: &[usize],
        hidden: usize,
        classes: usize,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let widths = two_widths(widths, "bi-gated")?;
        let half = |conditioning, names| {
            GatedHead::named(widths, [hidden, classes], conditioning, names, builder)
        };
        Ok(Self {
            by_first: half(Conditioning::ByFirst, BY_FIRST)?,
            by_second: half(Conditioning::BySecond, BY_SECOND)?,
            hidden,
        })
    }
}

impl Critic for BiGatedHead {
    fn widths(&self) -> &[usize] {
        self.by_first.widths()
    }

    fn outcomes(&self) -> usize {
        self.by_first.outcomes()
    }

    /// The parts of both halves for one modality, side by side.
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        let (first, second) = (self.by_first.parts(z)?, self.by_second.parts(z)?);
        let both = first.iter().zip(&second).map(|(one, other)| Tensor::cat(&[one, other], 1));
        Ok(both.collect::<candle_core::Result<_>>()?)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        let of_half = |half: usize| -> tcmax_estimators::Result<Vec<Tensor>> {
            parts.iter().map(|part| columns(part, half * self.hidden, self.hidden)).collect()
        };
        let first = self.by_first.combine(&of_half(0)?)?;
        Ok((first + self.by_second.combine(&of_half(1)?)?)?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        [self.by_first.parameters(), self.by_second.parameters()].concat()
    }
}

impl FusionHead for BiGatedHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let first = self.by_first.named_to_onnx(graph, z, BY_FIRST)?;
        let second = self.by_second.named_to_onnx(graph, z, BY_SECOND)?;
        Ok(graph.add(&first, &second))
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        Ok(vec![
            self.by_second.scores(&beside_zeros(z, 0)?)?,
            self.by_first.scores(&beside_zeros(z, 1)?)?,
        ])
    }
}
