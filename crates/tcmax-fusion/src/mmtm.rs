//! The multimodal transfer module (MMTM): gates for the channels of each modality's feature maps, from the means of all.
//!
//! ```text
//! h = relu(W [s_1; ...; s_M] + b)            s_m (C_m): means of modality m's channels over all pixels
//! gates of modality m = sigmoid(V_m h + c_m)
//! ```
//!
//! h has 2 (C_1 + ... + C_M) / 4 entries, at least one. The gates are the sigmoid itself, as in the released code of the
//! block and in that of Wu et al. (ICML 2022); the paper of the block has twice the sigmoid.
//!
//! PyTorch names: `fc_squeeze`, and `fc_excite_x`, `fc_excite_y`, `fc_excite_2`, ... of the modalities.
//!
//! Source: Joze, Shaban, Iuzzolino, Koishida, "MMTM: Multimodal Transfer Module for CNN Fusion" (CVPR 2020).

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;
use tcmax_ops::{Linear, ParamBuilder, relu};

use crate::affine::layer_name;

/// The ratio of the squeezed channels: of C channels 2 C / 4 are left.
const RATIO: usize = 4;

/// The block.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_fusion::Mmtm;
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
/// let block = Mmtm::new(&[3, 5], &builder)?;
/// let means = [3, 5].map(|channels| Tensor::ones((8, channels), DType::F64, &Device::Cpu));
/// let [one, other] = means;
/// let gates = block.gates(&[one?, other?])?;
/// assert_eq!([gates[0].dims(), gates[1].dims()], [[8, 3], [8, 5]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mmtm {
    squeeze: Linear,
    excite: Vec<Linear>,
}

impl Mmtm {
    /// A block for so many channels of each modality, started as PyTorch starts linear layers.
    ///
    /// # Errors
    /// When a parameter name is taken.
    pub fn new(channels: &[usize], builder: &ParamBuilder) -> tcmax_ops::Result<Self> {
        let all: usize = channels.iter().sum();
        let squeezed = (2 * all / RATIO).max(1);
        let squeeze = Linear::new(all, squeezed, &builder.pp("fc_squeeze"))?;
        let layer = |(m, &channels): (usize, &usize)| {
            Linear::new(squeezed, channels, &builder.pp(layer_name("fc_excite", m)))
        };
        let excite = channels.iter().enumerate().map(layer).collect::<tcmax_ops::Result<_>>()?;
        Ok(Self { squeeze, excite })
    }

    /// The gates (B, C_m) of every modality, from the means (B, C_m) of all.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn gates(&self, means: &[Tensor]) -> Result<Vec<Tensor>> {
        let hidden = relu(&self.squeeze.forward(&Tensor::cat(means, 1)?)?)?;
        self.excite.iter().map(|layer| sigmoid(&layer.forward(&hidden)?)).collect()
    }

    /// The layer that all modalities share.
    pub fn squeeze(&self) -> &Linear {
        &self.squeeze
    }

    /// The layer of the gates of each modality.
    pub fn excite(&self) -> &[Linear] {
        &self.excite
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tcmax_ops::{Init, Seed, gradient_error, sum_of, to_vec_f64};

    use super::*;

    fn random(seed: u64, shape: &[usize], std: f64) -> Tensor {
        let normal = Init::Normal { mean: 0.1, std };
        normal.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
    }

    /// A block on given layers: weight and bias of the squeezing one, then of each modality.
    fn block(layers: &[Tensor]) -> Mmtm {
        let mut layers = layers
            .chunks(2)
            .map(|pair| Linear::from_tensors(pair[0].clone(), pair[1].clone()).unwrap());
        Mmtm { squeeze: layers.next().unwrap(), excite: layers.collect() }
    }

    #[test]
    fn the_gates_of_small_numbers() {
        let number = |x: f64| Tensor::new(&[x], &Device::Cpu).unwrap();
        let row = |x: [f64; 2]| Tensor::new(&[x], &Device::Cpu).unwrap();
        let column = |x: f64| Tensor::new(&[[x]], &Device::Cpu).unwrap();
        // h = relu(2 * 3 - 1 * 4 + 1) = 3; gates sigmoid(3 - 3) and sigmoid(-3 + 1).
        let layers = [row([2.0, -1.0]), number(1.0), column(1.0), number(-3.0), column(-1.0)];
        let block = block(&[&layers[..], &[number(1.0)]].concat());
        let gates = block.gates(&[column(3.0), column(4.0)]).unwrap();
        assert_eq!(to_vec_f64(&gates[0]).unwrap(), [0.5]);
        let wanted = 1.0 / (1.0 + 2f64.exp());
        assert!((to_vec_f64(&gates[1]).unwrap()[0] - wanted).abs() < 1e-15);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let shapes: [&[usize]; 8] = [&[3, 2], &[3, 4], &[3, 6], &[3], &[2, 3], &[2], &[4, 3], &[4]];
        let inputs: Vec<Tensor> =
            (0..).zip(shapes).map(|(seed, shape)| random(seed, shape, 0.7)).collect();
        let error = gradient_error(&inputs, |x| {
            let gates = block(&x[2..]).gates(&x[..2])?;
            let weighted = gates.iter().zip(&x[..2]).map(|(g, s)| (g * s)?.sqr()?.sum_all());
            Ok(sum_of(&weighted.collect::<Result<Vec<_>>>()?)?)
        });
        assert!(error.unwrap() < 1e-8);
    }

    #[test]
    fn gates_of_huge_means_are_0_and_1_and_have_finite_gradients() {
        let builder = ParamBuilder::new(Seed::new(2), DType::F64, &Device::Cpu);
        let block = Mmtm::new(&[3, 5], &builder).unwrap();
        let means = [random(1, &[2, 3], 1e6), random(2, &[2, 5], 1e6)];
        let gates = block.gates(&means).unwrap();
        let all = Tensor::cat(&gates, 1).unwrap();
        assert!(to_vec_f64(&all).unwrap().iter().all(|gate| (0.0..=1.0).contains(gate)));
        let gradients = all.sum_all().unwrap().backward().unwrap();
        for (name, var) in builder.params().trainable() {
            let gradient = to_vec_f64(gradients.get(var.as_tensor()).unwrap()).unwrap();
            assert!(gradient.iter().all(|entry| entry.is_finite()), "{name}");
        }
    }
}
