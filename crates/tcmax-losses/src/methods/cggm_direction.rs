//! The coefficients of CGGM, and the loss that compares directions.

use candle_core::{D, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_ops::{placed_like, softmax, sum_of, to_scalar_f64};

use crate::Result;

/// Keeps coefficients apart from 0 / 0.
const TINY: f64 = 1e-8;
/// Added to squared lengths: a length of zero has no gradient otherwise.
const TINY_SQUARE: f64 = 1e-24;

/// k_m of accuracies before and now.
///
/// ```
/// use tcmax_losses::methods::cggm_direction::coefficients;
///
/// // The second gains three times as much, and slows down.
/// let k = coefficients(&[0.5, 0.25], &[0.625, 0.625]);
/// assert!((k[0] - 0.75).abs() < 1e-7 && (k[1] - 0.25).abs() < 1e-7);
/// ```
pub fn coefficients(before: &[f64], now: &[f64]) -> Vec<f64> {
    let changes: Vec<f64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
    let total = changes.iter().sum::<f64>() + TINY;
    changes.iter().map(|change| (total - change) / total).collect()
}

/// The share of examples whose largest logit (B, C) is that of their class.
pub(super) fn accuracy(logits: &Tensor, labels: &Labels) -> Result<f64> {
    let predicted = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let truth = labels.tensor()?.to_vec1::<u32>()?;
    let right = predicted.iter().zip(&truth).filter(|(guess, y)| guess == y).count();
    Ok(right as f64 / truth.len() as f64)
}

/// G, and what it is made of.
#[derive(Clone, Debug)]
pub struct Direction {
    /// G.
    pub loss: Tensor,
    /// cos(V_m, W_m).
    pub cosines: Vec<f64>,
}

impl Direction {
    /// Of coefficients k_m, V_m and W_m (C, D_m).
    ///
    /// # Errors
    /// When shapes differ.
    pub fn new(coefficients: &[f64], own: &[Tensor], fused: &[Tensor]) -> Result<Self> {
        let mut cosines = Vec::with_capacity(own.len());
        let mut terms = Vec::with_capacity(own.len());
        for ((v, w), &k) in own.iter().zip(fused).zip(coefficients) {
            let length = |x: &Tensor| (x.sqr()?.sum_all()? + TINY_SQUARE)?.sqrt();
            let cosine = ((v * w)?.sum_all()? / (length(v)? * length(w)?)?)?;
            cosines.push(to_scalar_f64(&cosine)?);
            terms.push(((cosine * -k)? + k.abs())?);
        }
        Ok(Self { loss: (sum_of(&terms)? / own.len() as f64)?, cosines })
    }

    /// Of the gradients of cross-entropies of logits (B, C), those of the classifiers and the fused ones, with respect
    /// to the weights of layers on features (B, D_m).
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn of_gradients(
        coefficients: &[f64],
        own: &[Tensor],
        logits: &Tensor,
        features: &[Tensor],
        labels: &Labels,
    ) -> Result<Self> {
        let truth = labels.tensor()?.to_vec1::<u32>()?;
        let classes = 0..labels.classes() as u32;
        let one_hot =
            truth.iter().flat_map(|&y| classes.clone().map(move |c| f64::from(u8::from(c == y))));
        let shape = (truth.len(), labels.classes());
        let one_hot = Tensor::from_vec(one_hot.collect::<Vec<f64>>(), shape, &Device::Cpu)?;
        let one_hot = placed_like(&one_hot, logits)?;
        // Without the factor 1 / B, which no cosine sees.
        let of = |logits: &Tensor, z: &Tensor| (softmax(logits)? - &one_hot)?.t()?.matmul(z);
        let own = own.iter().zip(features).map(|(own, z)| of(&own.detach(), &z.detach()));
        let own = own.collect::<candle_core::Result<Vec<_>>>()?;
        let fused = features.iter().map(|z| of(logits, z));
        Self::new(coefficients, &own, &fused.collect::<candle_core::Result<Vec<_>>>()?)
    }
}
