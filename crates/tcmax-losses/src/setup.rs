//! What a method is made for.

use candle_core::{DType, Device};
use tcmax_fusion::HeadSpec;
use tcmax_ops::{ParamBuilder, Seed};

/// What a method is made for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Feature widths D_m, one per modality.
    pub widths: Vec<usize>,
    /// Channels after each stage of each modality's encoder; none of encoders without stages.
    pub stages: Vec<Vec<usize>>,
    /// Classes.
    pub classes: usize,
    /// Training examples.
    pub examples: usize,
    /// Examples in a batch.
    pub batch_size: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// The head.
    pub head: &'static HeadSpec,
    /// Where tensors live.
    pub device: Device,
    /// Makes parameters and buffers of the method's own. They are saved and kept with the model's, so that a method
    /// can predict with them, and the optimiser steps those whose gradients it is handed. A method that is made
    /// again for the same model gets the same ones.
    pub own: ParamBuilder,
}

impl Setup {
    /// For a classifier without a run: a batch of one, one epoch, encoders without stages, and parameters of its own that
    /// no one else has.
    pub fn alone(widths: &[usize], classes: usize, head: &'static HeadSpec) -> Self {
        Self {
            widths: widths.to_vec(),
            stages: vec![Vec::new(); widths.len()],
            classes,
            examples: 1,
            batch_size: 1,
            epochs: 1,
            head,
            device: Device::Cpu,
            own: ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu).pp("method"),
        }
    }
}
