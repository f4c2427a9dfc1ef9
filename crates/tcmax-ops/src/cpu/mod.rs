//! What computes on the CPU: functions on slices, which know nothing of candle's graph.
//!
//! ```text
//! conv2d          winograd   3x3 at stride 1: F(4x4, 3x3), a quarter of the multiplications
//!                 implicit   every other shape: the windows of an image are read in place
//!                 unfold     f64: images unfolded into matrices of windows, plain and slow
//! matmul          micro      products of a few rows with a panel of 32 columns
//!                 dense      products of large matrices: linear layers
//!                 padded     products of the matrices of small networks
//!                 plain      f64: products by the `gemm` crate
//!                 block      a matrix split into parts that tasks may write at the same time
//!                 scratch    buffers kept by their thread from one call to the next
//! normalise       normalisation by channel: statistics, channels (their layout), pool (maxima after it)
//! softmax  layer_norm  log_sum_exp      of rows
//! attention  gelu                       of transformers
//! perceptron  quadratic_form            all layers of a small network; u^T Q u of rows u
//! recurrent                             all steps of a recurrent layer
//! pairwise  channels_last               sums and products value by value, the layout of images
//! storage  element  simd  exponential   candle's storage, scalars, instruction sets
//! ```
//!
//! Images are channels last, (B, H, W, C). Work is cut into tasks by the shapes alone and sums are
//! added in a fixed order, so results have the same bits for every number of threads.

pub(crate) mod attention;
pub(crate) mod blend;
pub(crate) mod channels;
pub(crate) mod channels_last;
pub(crate) mod conv2d;
pub(crate) mod element;
mod exponential;
pub(crate) mod gelu;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod log_sum_exp;
pub(crate) mod masked_softmax;
pub(crate) mod matmul;
pub(crate) mod normalise;
pub(crate) mod pairwise;
pub(crate) mod perceptron;
pub(crate) mod pool;
pub(crate) mod quadratic_form;
pub(crate) mod recurrent;
pub(crate) mod relu;
pub(crate) mod sequence_mean;
pub(crate) mod simd;
pub(crate) mod softmax;
pub(crate) mod statistics;
pub(crate) mod storage;
