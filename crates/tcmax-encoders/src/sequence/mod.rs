//! Encoders of sequences of features.
//!
//! An input (B, T, D + 1) holds D features of T steps; the last column is 1 where a step is there and 0
//! where the sequence is shorter. What stands in other columns of a step that is not there does not matter.

mod convolution;
mod mean;
mod recurrent;
mod steps;
mod transformer;

pub use convolution::{CONVOLUTION, Convolution, ConvolutionBlock, ConvolutionOptions};
pub use mean::{MEAN, Mean};
pub use recurrent::{GRU, LSTM, Outputs, Recurrent, RecurrentOptions, RecurrentPooling};
pub use steps::Steps;
pub use transformer::{
    SEQUENCE_TRANSFORMER, SequenceTransformer, SequenceTransformerOptions, TransformerStack,
};
