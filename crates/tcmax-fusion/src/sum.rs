//! Sum: one linear layer a modality, logits added.
//!
//! f(z_1, ..., z_M) = sum_m (W_m z_m + b_m), additive with g_m(z_m) = W_m z_m + b_m.
//!
//! PyTorch names: `fc_x` and `fc_y` for the first two modalities, as the paper's code has them;
//! `fc_2`, `fc_3`, ... (counted from 0) for further ones.

use candle_core::Tensor;
use tcmax_estimators::Critic;
use tcmax_ops::{ParamBuilder, sum_of};

use crate::affine::{Layer, check_features, layer_name};
use crate::{FusionHead, Result};

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
    layers: Vec<Layer>,
}

impl SumHead {
    /// A new head for features of the given widths, started as PyTorch starts linear layers.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(widths: &[usize], classes: usize, builder: &ParamBuilder) -> Result<Self> {
        let layer = |(m, &width): (usize, &usize)| {
            Layer::new(&builder.pp(layer_name("fc", m)), width, classes)
        };
        let layers = widths.iter().enumerate().map(layer).collect::<Result<_>>()?;
        Ok(Self { widths: widths.to_vec(), layers })
    }

    /// A head on given (weight (C, D_m), bias (C,)) pairs, one a modality.
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
        let layers = layers.into_iter().map(|(weight, bias)| Layer { weight, bias }).collect();
        Ok(Self { widths, layers })
    }
}

impl Critic for SumHead {
    fn num_variables(&self) -> usize {
        self.widths.len()
    }

    fn num_outcomes(&self) -> usize {
        self.layers.first().map_or(0, Layer::outputs)
    }

    fn scores(&self, features: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok(sum_of(&self.modality_logits(features)?)?)
    }

    fn additive_terms(&self, features: &[Tensor]) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        self.modality_logits(features).map(Some)
    }
}

impl FusionHead for SumHead {
    fn modality_logits(&self, features: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        check_features(features, &self.widths)?;
        features.iter().zip(&self.layers).map(|(z, layer)| layer.forward(z)).collect()
    }

    fn class_vectors(&self) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(Some(self.layers.iter().map(|layer| layer.weight.clone()).collect()))
    }

    fn parameters(&self) -> Vec<Tensor> {
        self.layers.iter().flat_map(Layer::parameters).collect()
    }
}
