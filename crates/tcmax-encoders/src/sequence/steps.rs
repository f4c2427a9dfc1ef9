//! Steps of sequences, and which of them are there.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::spec::Input;

/// Sequences of T steps.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Features, (B, T, D); zeros where a step is not there.
    pub x: Tensor,
    /// 1 where a step is there and 0 where not, (B, T).
    pub there: Tensor,
}

impl Steps {
    /// Reads an input (B, T, D + 1).
    ///
    /// # Errors
    /// When the input has another shape.
    pub fn read(encoder: &'static str, input: &Tensor, features: usize) -> Result<Self> {
        match input.dims() {
            &[batch, steps, columns] if batch * steps > 0 && columns == features + 1 => {}
            got => {
                let wanted = format!("[batch, steps, {features} features + 1]");
                return Err(Error::WrongShape { encoder, got: got.to_vec(), wanted });
            }
        }
        let there = input.narrow(2, features, 1)?.squeeze(2)?.contiguous()?;
        let there = there.gt(0.5)?.to_dtype(input.dtype())?;
        // Chosen, not multiplied: what is not there may be no number.
        let x = input.narrow(2, 0, features)?;
        let flags = there.unsqueeze(2)?.broadcast_as(x.shape())?.gt(0.5)?;
        let x = flags.where_cond(&x.contiguous()?, &x.zeros_like()?)?;
        Ok(Self { x, there })
    }

    /// Steps of given lengths (B,) of sequences (B, T, D).
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn of_lengths(x: &Tensor, lengths: &[u32]) -> Result<Self> {
        let (batch, steps, _) = x.dims3()?;
        let flags: Vec<f32> = (0..batch * steps)
            .map(|at| f32::from(u8::from(((at % steps) as u32) < lengths[at / steps])))
            .collect();
        let there = Tensor::from_vec(flags, (batch, steps), x.device())?.to_dtype(x.dtype())?;
        let x = x.broadcast_mul(&there.unsqueeze(2)?)?;
        Ok(Self { x, there })
    }

    /// Zeros where a step is not there: (B, T, D).
    pub(super) fn masked(&self, y: &Tensor) -> Result<Tensor> {
        Ok(y.broadcast_mul(&self.there.unsqueeze(2)?)?)
    }
}

/// The number of features of sequences [steps, features + 1].
pub(super) fn features_of(encoder: &'static str, input: Input<'_>) -> Result<usize> {
    match *input.shape {
        [_, columns] if columns > 1 => Ok(columns - 1),
        ref got => {
            let wanted = "[steps, features + 1]".to_owned();
            Err(Error::WrongShape { encoder, got: got.to_vec(), wanted })
        }
    }
}
