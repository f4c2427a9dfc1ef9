//! What every encoder is.

use candle_core::Tensor;

use crate::error::Result;

/// A network from the raw input of one modality to a feature vector.
pub trait Encoder: Send + Sync {
    /// Features (B, D) of a batch of inputs (B, ...). In training, normalisation layers use the
    /// statistics of the batch and update the running ones; otherwise they use the running ones.
    ///
    /// # Errors
    /// When the input has another shape than the encoder was made for.
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor>;

    /// The number of features D.
    fn feature_width(&self) -> usize;
}
