//! What AUG makes of learners: their losses, when a modality gets another, and predictions.

use candle_core::Tensor;
use tcmax_estimators::Labels;
use tcmax_ops::{log_sum_exp, sum_of};

use super::reading::Reading;
use crate::{Result, cross_entropy};

/// Of more than two modalities, those below this part of the others' mean score get a learner.
const WEAK: f64 = 0.8;

/// Logits (B, C) of a modality's learners.
#[derive(Clone, Debug)]
pub struct Boosted {
    /// t_m.
    pub total: Tensor,
    /// b and e, where there are added learners.
    pub last: Option<(Tensor, Tensor)>,
}

impl Boosted {
    /// Of the logits of the base and the added learners in their order.
    ///
    /// # Errors
    /// When there is none, or shapes differ.
    pub fn new(learners: &[Tensor]) -> Result<Self> {
        let total = sum_of(learners)?;
        let last = match learners.split_last() {
            Some((last, before)) if !before.is_empty() => Some((sum_of(before)?, last.clone())),
            _ => None,
        };
        Ok(Self { total, last })
    }

    /// CE(t, y), and with added learners CE(b, y), CE(e, y) and mean softmax(b)\[y\] CE(e, y), nats.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn parts(&self, labels: &Labels) -> Result<Vec<Tensor>> {
        let mut parts = vec![cross_entropy(&self.total, labels)?];
        if let Some((before, last)) = &self.last {
            let log = |logits: &Tensor| -> Result<Tensor> {
                Ok((labels.pick(logits)? - log_sum_exp(logits, 1)?)?)
            };
            let known = (log(&before.detach())?.exp()? * log(last)?.neg()?)?;
            parts.push(cross_entropy(before, labels)?);
            parts.push(cross_entropy(last, labels)?);
            parts.push(labels.mean(&known)?);
        }
        Ok(parts)
    }

    /// L_m.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn loss(&self, labels: &Labels, discount: f64) -> Result<Tensor> {
        let mut parts = self.parts(labels)?;
        if let Some(known) = parts.get_mut(3) {
            *known = (&*known * -discount)?;
        }
        Ok(sum_of(&parts)?)
    }
}

/// Whether learners are added after an epoch (from 0).
///
/// ```
/// use tcmax_losses::methods::{boosting::adds_after, reading::Reading};
///
/// let of = |reading| (0..60).filter(|&epoch| adds_after(epoch, 200, reading)).collect::<Vec<_>>();
/// assert_eq!(of(Reading::Paper), [0, 20, 40]);
/// assert_eq!(of(Reading::Code), [0, 19, 39, 59]);
/// ```
pub fn adds_after(epoch: usize, epochs: usize, reading: Reading) -> bool {
    let every = (epochs / 10).max(1);
    match reading {
        Reading::Paper => epoch.is_multiple_of(every),
        Reading::Code => epoch == 0 || (epoch + 1).is_multiple_of(every),
    }
}

/// The modalities that get a learner, from the scores S_m.
///
/// ```
/// use tcmax_losses::methods::boosting::weaker;
///
/// assert_eq!(weaker(&[10.2, 10.0], 0.01), [1]);
/// assert_eq!(weaker(&[9.8, 10.0], 0.01), [0]);
/// assert!(weaker(&[10.05, 10.0], 0.01).is_empty());
/// assert_eq!(weaker(&[10.0, 3.0, 4.0], 0.01), [1, 2]);
/// ```
pub fn weaker(scores: &[f64], tolerance: f64) -> Vec<usize> {
    if let &[first, second] = scores {
        let ratio = first / second;
        return match ratio {
            ratio if ratio > 1.0 + tolerance => vec![1],
            ratio if ratio < 1.0 - tolerance => vec![0],
            _ => Vec::new(),
        };
    }
    let total: f64 = scores.iter().sum();
    let others = (scores.len() as f64 - 1.0).max(1.0);
    let is_weak = |score: f64| score < WEAK * (total - score) / others;
    (0..scores.len()).filter(|&m| is_weak(scores[m])).collect()
}

/// The sum of logits (B, C) of two modalities, by the first one's part, or the mean of others.
///
/// # Errors
/// When shapes differ.
pub fn fused(totals: &[Tensor], first_part: f64) -> Result<Tensor> {
    let [first, second] = totals else {
        return Ok((sum_of(totals)? / totals.len() as f64)?);
    };
    Ok(((first * first_part)? + (second * (1.0 - first_part))?)?)
}
