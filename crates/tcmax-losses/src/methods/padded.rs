//! Logits of one modality, with zeros in place of the features of the others.

use candle_core::Tensor;
use tcmax_fusion::FusionHead;

use crate::Result;

/// u_m = f(0, .., z_m, .., 0) for each modality, each (N, C): of a linear head they have its whole bias.
///
/// # Errors
/// When the features do not fit the head.
pub fn padded_logits(head: &dyn FusionHead, features: &[Tensor]) -> Result<Vec<Tensor>> {
    let zeros: Vec<Tensor> =
        features.iter().map(Tensor::zeros_like).collect::<candle_core::Result<_>>()?;
    let of = |m: usize| {
        let mut alone = zeros.clone();
        alone[m] = features[m].clone();
        Ok(head.logits(&alone)?)
    };
    (0..features.len()).map(of).collect()
}
