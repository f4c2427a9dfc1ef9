//! Concatenation, and beside it a separate linear layer for every modality.
//!
//! The fused logits are those of [`ConcatHead`]; the logits of one modality come from a linear layer
//! that the fused logits do not use. Unimodal losses then train separate layers. Under a joint loss
//! those layers get no gradient at all: judge the modalities by a probe there.
//!
//! PyTorch names: `fc_out.*`, and `fc_x.*`, `fc_y.*`, `fc_2.*`, ...

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::ParamBuilder;
use tcmax_registry::Options;

use crate::{ConcatHead, FusionHead, HeadSpec, Modalities, Owned, Result, SumHead};

/// The specification of [`SpecificHead`].
pub static SPECIFIC: HeadSpec = HeadSpec {
    name: "specific",
    description: "concat, with a layer of its own for each modality's logits",
    source: "",
    modalities: Modalities::Any,
    additive: true,
    options: Options::NONE,
    make: |_, widths, classes, builder| Ok(Box::new(SpecificHead::new(widths, classes, builder)?)),
};

/// The concat head with modality-specific heads.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_fusion::{FusionHead, SpecificHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = SpecificHead::new(&[3, 2], 4, &builder)?;
/// let names: Vec<String> =
///     builder.params().trainable().map(|(name, _)| name.to_owned()).collect();
/// assert_eq!(names[0], "fc_out.bias");
/// assert_eq!(names[2], "fc_x.bias");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SpecificHead {
    fused: ConcatHead,
    own: SumHead,
}

impl SpecificHead {
    /// A new head for features of the given widths.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(widths: &[usize], classes: usize, builder: &ParamBuilder) -> Result<Self> {
        let fused = ConcatHead::new(widths, classes, builder)?;
        Ok(Self { fused, own: SumHead::new(widths, classes, builder)? })
    }
}

impl Critic for SpecificHead {
    fn widths(&self) -> &[usize] {
        self.fused.widths()
    }

    fn outcomes(&self) -> usize {
        self.fused.outcomes()
    }

    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.fused.parts(z)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.fused.combine(parts)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        [self.fused.parameters(), self.own.parameters()].concat()
    }
}

impl FusionHead for SpecificHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        self.fused.scores_to_onnx(graph, z)
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.own.parts(z)
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        self.fused.class_vectors()
    }

    /// The columns of the layer of the fused logits: the modality's own layer trains by itself.
    fn owned_by(&self, m: usize) -> Vec<Owned> {
        self.fused.owned_by(m)
    }
}
