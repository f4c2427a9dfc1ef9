//! Trainer, checkpoints, reports and the tcmax command line for balanced multimodal classification.

pub mod results;
