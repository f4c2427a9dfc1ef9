//! The operations, one in each file, with its checks and the choice between the kernel of the CPU (`cpu`) and
//! the composition of candle operations (`composed`). `fused_norm` is behind `BatchNorm2d` and `ConvUnit`.

pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod blend;
pub(crate) mod blended_slices;
pub(crate) mod channels_last;
mod check;
pub(crate) mod conv2d;
pub(crate) mod conv_unit;
pub(crate) mod dropout;
pub(crate) mod embedding;
mod fused_norm;
pub(crate) mod gathered;
pub(crate) mod gelu;
pub(crate) mod global_avg_pool2d;
mod hidden;
mod hidden_sequences;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod log_sum_exp;
pub(crate) mod max_pool2d;
mod of_members;
pub(crate) mod perceptron;
pub(crate) mod quadratic_form;
pub(crate) mod recurrent;
pub(crate) mod relu;
pub(crate) mod sequence_mean;
pub(crate) mod softmax;
pub(crate) mod sum_of;
