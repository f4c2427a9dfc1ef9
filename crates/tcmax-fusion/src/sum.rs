//! Sum: one linear layer per modality, logits added.
//!
//! f(z_1, ..., z_M) = sum_m (W_m z_m + b_m), additive with g_m(z_m) = W_m z_m + b_m.
//!
//! PyTorch names: `fc_x` and `fc_y` for the first two modalities, as the paper's code has them;
//! `fc_2`, `fc_3`, ... (counted from 0) for further ones.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_estimators::critic::check_variables;
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{Linear, ParamBuilder, sum_of};
use tcmax_registry::Options;

use crate::affine::layer_name;
use crate::{FusionHead, HeadSpec, Modalities, Owned, Result};

/// The specification of [`SumHead`].
pub static SUM: HeadSpec = HeadSpec {
    name: "sum",
    description: "one linear layer per modality, logits added",
    source: "",
    modalities: Modalities::Any,
    additive: true,
    options: Options::NONE,
    make: |_, widths, classes, builder| Ok(Box::new(SumHead::new(widths, classes, builder)?)),
};

/// The sum head.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Critic;
/// use tcmax_fusion::SumHead;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let layer = |w: f64, b: f64| -> candle_core::Result<(Tensor, Tensor)> {
///     Ok((Tensor::new(&[[w], [0.0]], &Device::Cpu)?, Tensor::new(&[b, 0.0], &Device::Cpu)?))
/// };
/// let head = SumHead::from_tensors(vec![layer(2.0, 1.0)?, layer(3.0, 0.0)?])?;
/// let features = [Tensor::new(&[[10f64]], &Device::Cpu)?, Tensor::new(&[[5f64]], &Device::Cpu)?];
/// assert_eq!(head.scores(&features)?.to_vec2::<f64>()?, [[36.0, 0.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SumHead {
    widths: Vec<usize>,
    layers: Vec<Linear>,
}

impl SumHead {
    /// A new head for features of the given widths, started as PyTorch starts linear layers.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(widths: &[usize], classes: usize, builder: &ParamBuilder) -> Result<Self> {
        let layer = |(m, &width): (usize, &usize)| {
            Linear::new(width, classes, &builder.pp(layer_name("fc", m)))
        };
        let layers = widths.iter().enumerate().map(layer).collect::<tcmax_ops::Result<_>>()?;
        Ok(Self { widths: widths.to_vec(), layers })
    }

    /// A head on given (weight (C, D_m), bias (C,)) pairs, one per modality.
    ///
    /// # Errors
    /// When there is none, or the shapes do not fit.
    pub fn from_tensors(layers: Vec<(Tensor, Tensor)>) -> tcmax_estimators::Result<Self> {
        let Some((_, first)) = layers.first() else {
            return Err(tcmax_estimators::Error::Empty { what: "the head", unit: "modality" });
        };
        let classes = first.elem_count();
        let mut widths = Vec::with_capacity(layers.len());
        for (m, (weight, bias)) in layers.iter().enumerate() {
            match (weight.dims(), bias.dims()) {
                (&[c, width], &[b]) if c == classes && b == classes => widths.push(width),
                _ => {
                    return Err(tcmax_estimators::Error::WrongShape {
                        what: format!("sum head weight of modality {m}"),
                        got: weight.dims().to_vec(),
                        wanted: format!("[{classes}, features] with a bias of [{classes}]"),
                    });
                }
            }
        }
        let layers = layers.into_iter().map(|(weight, bias)| Linear::from_tensors(weight, bias));
        Ok(Self { widths, layers: layers.collect::<candle_core::Result<_>>()? })
    }
}

impl Critic for SumHead {
    fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn outcomes(&self) -> usize {
        self.layers.first().map_or(0, Linear::outputs)
    }

    /// g_m(z_m), each (N, C).
    fn parts(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_variables(z, &self.widths)?;
        Ok(z.iter()
            .zip(&self.layers)
            .map(|(z, layer)| layer.forward(z))
            .collect::<candle_core::Result<_>>()?)
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok(sum_of(parts)?)
    }

    fn is_additive(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(Linear::parameters).collect()
    }
}

impl FusionHead for SumHead {
    fn scores_to_onnx(&self, graph: &mut Graph, z: &[Value]) -> tcmax_onnx::Result<Value> {
        let term = |(m, z): (usize, &Value)| graph.linear(&layer_name("fc", m), z);
        let terms = z.iter().enumerate().map(term).collect::<tcmax_onnx::Result<Vec<_>>>()?;
        Ok(graph.sum(&terms))
    }

    fn modality_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        self.parts(z)
    }

    fn all_logits(&self, z: &[Tensor]) -> tcmax_estimators::Result<(Tensor, Vec<Tensor>)> {
        let own = self.parts(z)?;
        Ok((self.combine(&own)?, own))
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(Some(self.layers.iter().map(|layer| layer.weight().clone()).collect()))
    }

    fn owned_by(&self, m: usize) -> Vec<Owned> {
        let of_layer = |layer: &Linear| layer.parameters().to_vec();
        let parameters = self.layers.get(m).map(of_layer).unwrap_or_default();
        parameters.into_iter().map(|parameter| Owned { parameter, columns: None }).collect()
    }
}
