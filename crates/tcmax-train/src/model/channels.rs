//! Factors and summands of the channels of images: a network's own normalisation.

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Modality, ModalityKind};

use crate::config::EncoderTraining;
use crate::{Error, Result};

/// x * scale + shift of every channel.
#[derive(Clone, Debug)]
pub(super) struct ChannelScale {
    scale: Tensor,
    shift: Tensor,
}

impl ChannelScale {
    /// What the settings say; none where they say nothing.
    ///
    /// # Errors
    /// When the modality is no image, or has another number of channels.
    pub(super) fn new(
        training: &EncoderTraining,
        modality: &Modality,
        device: &Device,
    ) -> Result<Option<Self>> {
        let (scale, shift) = (&training.input_scale, &training.input_shift);
        if scale.is_none() && shift.is_none() {
            return Ok(None);
        }
        let wrong = |problem: String| {
            Err(Error::setting(format!("encoder.{}.input-scale", modality.name), problem))
        };
        if modality.kind != ModalityKind::Image {
            return wrong("is for images".to_owned());
        }
        let channels = modality.shape[0];
        let values = |given: &Option<Vec<f64>>, usual: f64| {
            given.clone().unwrap_or_else(|| vec![usual; channels])
        };
        let (scale, shift) = (values(scale, 1.0), values(shift, 0.0));
        if [scale.len(), shift.len()] != [channels; 2] {
            return wrong(format!("must have a number for each of the {channels} channels"));
        }
        let tensor = |values: Vec<f64>| {
            let shape: Vec<usize> = modality
                .shape
                .iter()
                .enumerate()
                .map(|(i, _)| if i == 0 { channels } else { 1 })
                .collect();
            Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::F32)?.to_device(device)
        };
        Ok(Some(Self { scale: tensor(scale)?, shift: tensor(shift)? }))
    }

    /// A batch of images (B, C, ...).
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?)
    }
}
