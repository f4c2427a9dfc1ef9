//! Token ids and which of them are there.

use candle_core::{DType, Device, Tensor};
use tcmax_ops::{Hidden, embedding};

use crate::error::{Error, Result};
use crate::transformer::Packed;

/// Texts of T tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Ids, (B, T), u32.
    pub ids: Tensor,
    /// 1 where a token is there and 0 where not, (B, T), f32.
    pub there: Tensor,
}

impl Tokens {
    /// Reads an input (B, T) of numbers: ids, and negative numbers where there is no token, whose id
    /// becomes `padding`. Texts longer than `most` tokens are refused.
    ///
    /// # Errors
    /// When the input has another shape, or is longer than the network's positions.
    pub fn read(
        encoder: &'static str,
        input: &Tensor,
        padding: usize,
        most: usize,
    ) -> Result<Self> {
        match input.dims() {
            &[batch, length] if batch > 0 && (1..=most).contains(&length) => {}
            got => {
                let wanted = format!("[batch, tokens], at most {most} tokens");
                return Err(Error::WrongShape { encoder, got: got.to_vec(), wanted });
            }
        }
        let there = input.ge(0.0)?.to_dtype(DType::F32)?;
        let padding = Tensor::full(padding as f32, input.shape(), input.device())?;
        let ids = input.to_dtype(DType::F32)?;
        let ids = input.ge(0.0)?.where_cond(&ids, &padding)?.to_dtype(DType::U32)?;
        Ok(Self { ids, there })
    }

    /// The numbers of texts and of tokens.
    pub(crate) fn sizes(&self) -> Result<(usize, usize)> {
        Ok(self.ids.dims2()?)
    }

    /// The sums (N, D) of the vectors of words and of positions 0 to T - 1, from tables of both.
    pub(crate) fn embedded(
        &self,
        [words, positions]: [&Tensor; 2],
        packed: &Packed,
    ) -> Result<Tensor> {
        let places = self.positions()?.broadcast_as(self.ids.shape())?;
        let x = embedding(words, &packed.of(&self.ids)?)?;
        Ok((x + embedding(positions, &packed.of(&places)?)?)?)
    }

    /// The vectors (B, T, D) of all tokens, of (B T, D).
    pub(crate) fn vectors(&self, hidden: &Hidden) -> Result<Tensor> {
        let (batch, length) = self.sizes()?;
        Ok(hidden.tensor()?.reshape((batch, length, ()))?)
    }

    pub(crate) fn device(&self) -> &Device {
        self.ids.device()
    }

    /// The numbers 0 to T - 1: where the tokens are.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn positions(&self) -> Result<Tensor> {
        Ok(Tensor::arange(0u32, self.sizes()?.1 as u32, self.device())?)
    }
}
