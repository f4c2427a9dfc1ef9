#![doc = include_str!("../README.md")]

mod activation;
mod composed;
mod cpu;
mod error;
mod geometry;
mod graph;
mod ops;
mod training;
mod wide;

pub use activation::Activation;
pub use error::{Error, Result};
pub use graph::backward::backward;
pub use ops::batch_norm::{BatchNorm2d, BatchNormConfig};
pub use ops::conv_unit::ConvUnit;
pub use ops::conv2d::{Conv2dConfig, conv2d};
pub use ops::global_avg_pool2d::global_avg_pool2d;
pub use ops::layer_norm::layer_norm;
pub use ops::linear::Linear;
pub use ops::log_sum_exp::{log_sum_exp, log_sum_exp_all};
pub use ops::max_pool2d::{MaxPool2dConfig, max_pool2d};
pub use ops::perceptron::perceptron;
pub use ops::quadratic_form::quadratic_form;
pub use ops::relu::relu;
pub use ops::softmax::softmax;
pub use ops::sum_of::sum_of;
pub use training::adamw::{AdamW, AdamWConfig};
pub use training::clip::clip_grad_norm;
pub use training::gradcheck::gradient_error;
pub use training::init::Init;
pub use training::optimiser::Optimiser;
pub use training::params::{ParamBuilder, Params, State};
pub use training::seed::Seed;
pub use training::sgd::{Sgd, SgdConfig};
pub use wide::{host_f64, placed_like, to_scalar_f64, to_vec_f64, wide, widest_float};
