//! Step decay of the learning rate: lr = base * gamma^floor(epoch / step).

use serde::{Deserialize, Serialize};

/// The learning rate falls by `gamma` every `step` epochs (PyTorch's StepLR).
///
/// ```
/// use tcmax_train::StepDecay;
///
/// let decay = StepDecay { step: 30, gamma: 0.1 };
/// assert_eq!(decay.learning_rate(0.05, 0), 0.05);
/// assert_eq!(decay.learning_rate(0.05, 29), 0.05);
/// assert!((decay.learning_rate(0.05, 30) - 0.005).abs() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepDecay {
    /// Epochs between two steps, at least 1.
    pub step: usize,
    /// Factor of each step.
    pub gamma: f64,
}

impl StepDecay {
    /// The rate in an epoch, counted from 0.
    pub fn learning_rate(&self, base: f64, epoch: usize) -> f64 {
        base * self.gamma.powf((epoch / self.step.max(1)) as f64)
    }
}
