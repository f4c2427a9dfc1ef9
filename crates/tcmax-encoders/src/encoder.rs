//! What every encoder is.

use candle_core::Tensor;

use crate::Result;

/// A network from the raw input of one modality to a feature vector.
pub trait Encoder: Send + Sync {
    /// Features (B, D) of a batch of inputs (B, ...). `train` chooses batch statistics over running
    /// ones in normalisation layers, and updates the running ones.
    ///
    /// # Errors
    /// When the input has another shape than the encoder was made for.
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor>;

    /// The number of features D.
    fn feature_width(&self) -> usize;
}
