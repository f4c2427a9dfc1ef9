//! What every encoder is.

use candle_core::Tensor;
use tcmax_onnx::{Graph, Value};

use crate::error::Result;
use crate::staged::Staged;

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

    /// The encoder stage by stage, for what joins several encoders in between; `None`, as by default, where it has no
    /// stages.
    fn staged(&self) -> Option<&dyn Staged> {
        None
    }

    /// Adds to an ONNX graph what [`Encoder::encode`] does outside training: features (B, D) of `input`
    /// (B, shape...). Weights have the names that the encoder was made with.
    ///
    /// # Errors
    /// When the encoder has no graph, as by default.
    fn to_onnx(
        &self,
        graph: &mut Graph,
        input: &Value,
        shape: &[usize],
    ) -> tcmax_onnx::Result<Value> {
        let _ = (graph, input, shape);
        Err(tcmax_onnx::Error::no_graph("the encoder", "it does not say how"))
    }
}
