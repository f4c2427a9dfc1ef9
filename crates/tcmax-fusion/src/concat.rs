//! Concatenation: one linear layer on all features side by side.
//!
//! f(z_1, ..., z_M) = W \[z_1; ...; z_M\] + b with W of shape (C, sum_m D_m). The head is additive:
//! modality m owns the columns W_m and the share b / M of the bias, so
//!
//! ```text
//! g_m(z_m) = W_m z_m + b / M,      f = sum_m g_m(z_m)
//! ```
//!
//! PyTorch names: `fc_out.weight`, `fc_out.bias`.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Linear, ParamBuilder, linear_columns, sum_of};
use tcmax_registry::Options;

use crate::affine::columns;
use crate::{FusionHead, HeadSpec, Modalities, Owned, Result};

/// The specification of [`ConcatHead`].
pub static CONCAT: HeadSpec = HeadSpec {
    name: "concat",
    description: "one linear layer on all features side by side",
    source: "",
    modalities: Modalities::Any,
    additive: true,
    options: Options::NONE,
    make: |_, widths, classes, builder| Ok(Box::new(ConcatHead::new(widths, classes, builder)?)),
};

/// The concat head.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::{ConcatHead, FusionHead};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let weight = Tensor::new(&[[1f64, 0.0, 2.0], [0.0, 1.0, 0.0]], &Device::Cpu)?;
/// let bias = Tensor::new(&[4f64, 0.0], &Device::Cpu)?;
/// let head = ConcatHead::from_tensors(&[2, 1], weight, bias)?;
/// let features = [
///     Tensor::new(&[[10f64, 20.0]], &Device::Cpu)?,
///     Tensor::new(&[[5f64]], &Device::Cpu)?,
/// ];
/// assert_eq!(head.scores(&features)?.to_vec2::<f64>()?, [[24.0, 20.0]]);
/// let own = head.modality_logits(&features)?;
/// assert_eq!(own[0].to_vec2::<f64>()?, [[12.0, 20.0]]);
/// assert_eq!(own[1].to_vec2::<f64>()?, [[12.0, 0.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConcatHead {
    widths: Vec<usize>,
    layer: Linear,
}

impl ConcatHead {
    /// A new head for features of the given widths, started as PyTorch starts linear layers.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(widths: &[usize], classes: usize, builder: &ParamBuilder) -> Result<Self> {
        let width = widths.iter().sum();
        let layer = Linear::new(width, classes, &builder.pp("fc_out"))?;
        Ok(Self { widths: widths.to_vec(), layer })
    }

    /// A head on given tensors: weight (C, sum of widths) and bias (C,).
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn from_tensors(
        widths: &[usize],
        weight: Tensor,
        bias: Tensor,
    ) -> tcmax_estimators::Result<Self> {
        let wanted = [bias.dims().first().copied().unwrap_or(0), widths.iter().sum()];
        if weight.dims() != wanted || bias.rank() != 1 {
            return Err(tcmax_estimators::Error::WrongShape {
                what: "concat head weight".to_owned(),
                got: weight.dims().to_vec(),
                wanted: format!("{wanted:?} (classes, features of all modalities)"),
            });
        }
        Ok(Self { widths: widths.to_vec(), layer: Linear::from_tensors(weight, bias)? })
    }

    /// The columns of the weight that belong to each modality, each (C, D_m).
    fn blocks(&self) -> tcmax_estimators::Result<Vec<Tensor>> {
        let mut start = 0;
        let mut blocks = Vec::with_capacity(self.widths.len());
        for &width in &self.widths {
            blocks.push(columns(self.layer.weight(), start, width)?);
            start += width;
        }
        Ok(blocks)
    }
}

impl Critic for ConcatHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.layer.outputs()
    }

    /// g_m(z_m), each (N, C).
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        let share = (self.layer.bias() / self.widths.len() as f64)?;
        let mut end = 0;
        let term = |(z, &width): (&Tensor, &usize)| {
            end += width;
            Ok(linear_columns(z, self.layer.weight(), end - width..end, &share)?)
        };
        z.iter().zip(&self.widths).map(term).collect()
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

impl FusionHead for ConcatHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let all = graph.concat(z);
        graph.linear("fc_out", &all)
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.parts(z)
    }

    fn all_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        let own = self.parts(z)?;
        Ok((self.combine(&own)?, own))
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        self.blocks().map(Some)
    }

    fn owned_by(&self, m: usize) -> Vec<Owned> {
        let Some(width) = self.widths.get(m) else { return Vec::new() };
        let start: usize = self.widths[..m].iter().sum();
        let parameter = self.layer.weight().clone();
        vec![Owned { parameter, columns: Some(start..start + width) }]
    }
}
