#![doc = include_str!("../README.md")]

mod batch_norm;
mod composed;
mod conv2d;
mod cpu;
mod error;
mod global_avg_pool2d;
mod gradcheck;
mod init;
mod log_sum_exp;
mod max_pool2d;
mod params;
mod seed;
mod sgd;
mod sum_of;
mod window;

pub use batch_norm::{BatchNorm2d, BatchNormConfig};
pub use conv2d::{Conv2dConfig, conv2d};
pub use error::{Error, Result};
pub use global_avg_pool2d::global_avg_pool2d;
pub use gradcheck::gradient_error;
pub use init::Init;
pub use log_sum_exp::{log_sum_exp, log_sum_exp_all};
pub use max_pool2d::{MaxPool2dConfig, max_pool2d};
pub use params::{ParamBuilder, Params, State};
pub use seed::Seed;
pub use sgd::{Sgd, SgdConfig, clip_grad_norm};
pub use sum_of::sum_of;
