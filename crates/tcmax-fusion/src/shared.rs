//! Shared head: one linear layer for every modality.
//!
//! ```text
//! g(z) = W z + b,      f(z_1, ..., z_M) = 1/M sum_m g(z_m)
//! ```
//!
//! All features must be of one width. As a critic the head is the *sum* of the g(z_m), not their mean:
//! what maximises the total correlation has the sum's scale, and so softmax(sum_m g(z_m)) is p(y | z)
//! after training with TCMax.
//!
//! PyTorch names: `fc_out.weight`, `fc_out.bias`.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Linear, ParamBuilder, sum_of};
use tcmax_registry::Options;

use crate::{Error, FusionHead, HeadSpec, Modalities, Result};

/// The specification of [`SharedHead`].
pub static SHARED: HeadSpec = HeadSpec {
    name: "shared",
    description: "one linear layer for every modality, logits averaged",
    source: "",
    modalities: Modalities::Any,
    additive: true,
    options: Options::NONE,
    make: |_, widths, classes, builder| Ok(Box::new(SharedHead::new(widths, classes, builder)?)),
};

/// The shared head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{FusionHead, SharedHead};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let head = SharedHead::new(&[3, 3], 2, &builder)?;
/// let z = Tensor::ones((1, 3), DType::F64, &Device::Cpu)?;
/// // Two equal modalities: the mean is the logit of either, the critic's score twice that.
/// let own = head.modality_logits(&[z.clone(), z.clone()])?[0].to_vec2::<f64>()?;
/// assert_eq!(head.logits(&[z.clone(), z.clone()])?.to_vec2::<f64>()?, own);
/// assert_eq!(head.scores(&[z.clone(), z])?.to_vec2::<f64>()?[0][0], 2.0 * own[0][0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SharedHead {
    widths: Vec<usize>,
    layer: Linear,
}

impl SharedHead {
    /// A new head for features of the given widths, which must be equal.
    ///
    /// # Errors
    /// When the widths differ, there is none, or a parameter name is taken.
    pub fn new(widths: &[usize], classes: usize, builder: &ParamBuilder) -> Result<Self> {
        let &width = widths.first().ok_or(Error::NoModality)?;
        if widths.iter().any(|&other| other != width) {
            let head = SHARED.name;
            return Err(Error::UnequalWidths { head, widths: widths.to_vec() });
        }
        let layer = Linear::new(width, classes, &builder.pp("fc_out"))?;
        Ok(Self { widths: widths.to_vec(), layer })
    }
}

impl Critic for SharedHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.layer.outputs()
    }

    /// g_m(z_m), each (N, C).
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        Ok(z.iter().map(|z| self.layer.forward(z)).collect::<candle_core::Result<_>>()?)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layer.parameters().to_vec()
    }
}

impl FusionHead for SharedHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let terms = z.iter().map(|z| graph.linear("fc_out", z));
        let terms = terms.collect::<tcmax_onnx::Result<Vec<_>>>()?;
        Ok(graph.sum(&terms))
    }

    fn logits_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let scores = self.scores_to_onnx(graph, z)?;
        let count = graph.number(z.len() as f32);
        Ok(graph.div(&scores, &count))
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.parts(z)
    }

    fn logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok((self.scores(z)? / self.widths.len() as f64)?)
    }

    fn all_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        let own = self.parts(z)?;
        Ok(((self.combine(&own)? / self.widths.len() as f64)?, own))
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(Some(vec![self.layer.weight().clone(); self.widths.len()]))
    }
}
