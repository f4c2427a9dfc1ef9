//! The supervised contrastive loss: features of one class come together, whatever their modality.
//!
//! ```text
//! L = mean over (i, j), i != j, y_i = y_j of  -log( exp(s_ij) / (exp(s_ij) + sum_{k: y_k != y_i} exp(s_ik)) )
//! s_ij = cos(z_i, z_j) / tau                                                            (nats)
//! ```
//!
//! over the features of all modalities side by side, M B of them. It is 0 where there is no such pair, or no other class.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::log_sum_exp;

use crate::Result;

/// Added to squared norms: that of zeros has no gradient otherwise.
const TINY: f64 = 1e-24;
/// In place of similarities that do not count in a log-sum-exp.
const FAR: f64 = -1e9;

/// The loss of features (B, D) of each modality at the temperature tau: a scalar, nats.
///
/// # Errors
/// When there is no modality, or shapes do not fit.
pub fn supervised_contrast(
    features: &[Tensor],
    labels: &Labels,
    temperature: f64,
) -> Result<Tensor> {
    let z = Tensor::cat(features, 0)?;
    let norms = (z.sqr()?.sum_keepdim(1)? + TINY)?.sqrt()?;
    let z = z.broadcast_div(&norms)?;
    let similarity = (z.matmul(&z.t()?)? / temperature)?;
    let labels = labels.tensor()?.to_vec1::<u32>()?.repeat(features.len());
    let count = labels.len();
    let mask = |counts: &dyn Fn(usize, usize) -> bool| -> Result<(Tensor, usize)> {
        let flags =
            (0..count * count).map(|at| f64::from(u8::from(counts(at / count, at % count))));
        let flags: Vec<f64> = flags.collect();
        let total = flags.iter().sum::<f64>() as usize;
        let mask = Tensor::from_vec(flags, (count, count), &candle_core::Device::Cpu)?;
        Ok((tcmax_ops::placed_like(&mask, &z)?, total))
    };
    let (same, pairs) = mask(&|i, j| i != j && labels[i] == labels[j])?;
    let (other, others) = mask(&|i, j| labels[i] != labels[j])?;
    if pairs == 0 || others == 0 {
        return Ok(Tensor::zeros((), z.dtype(), z.device())?);
    }
    // exp(s_ij) and the rest of its denominator, in one log-sum-exp of two.
    let rest = ((&similarity * &other)? + ((1.0 - &other)? * FAR)?)?;
    let rest = log_sum_exp(&rest, 1)?.unsqueeze(1)?.broadcast_as(similarity.shape())?;
    let column = |x: &Tensor| x.contiguous()?.reshape((count * count, 1));
    let both = log_sum_exp(&Tensor::cat(&[column(&similarity)?, column(&rest)?], 1)?, 1)?;
    let terms = (both.reshape((count, count))? - similarity)?;
    Ok(((terms * same)?.sum_all()? / pairs as f64)?)
}
