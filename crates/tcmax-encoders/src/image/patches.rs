//! Images as sequences of patches.

use candle_core::Tensor;
use tcmax_ops::{Init, Linear, ParamBuilder};

use crate::error::{Error, Result};
use crate::transformer::START;

/// A linear map of every square patch: a convolution whose stride is its size.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    encoder: &'static str,
    /// (D, C, P, P).
    weight: Tensor,
    bias: Tensor,
    channels: usize,
    size: usize,
}

impl Patches {
    /// Parameters `weight` and, unless it has none, `bias`.
    pub(crate) fn new(
        encoder: &'static str,
        [channels, width, size]: [usize; 3],
        has_bias: bool,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let weight = builder.param("weight", (width, channels, size, size), START)?;
        let bias = match has_bias {
            true => builder.param("bias", width, Init::Const(0.0))?,
            false => Tensor::zeros(width, weight.dtype(), weight.device())?,
        };
        Ok(Self { encoder, weight, bias, channels, size })
    }

    /// Rows and columns of patches of an image; what is left at its right and lower edge is in none.
    pub(crate) fn grid(&self, input: &Tensor) -> Result<[usize; 2]> {
        match input.dims() {
            &[batch, channels, height, width]
                if batch > 0 && channels == self.channels && height.min(width) >= self.size =>
            {
                Ok([height / self.size, width / self.size])
            }
            got => Err(Error::WrongShape {
                encoder: self.encoder,
                got: got.to_vec(),
                wanted: format!(
                    "[batch, {}, height, width], at least {} pixels a side",
                    self.channels, self.size
                ),
            }),
        }
    }

    /// Images (B, C, H, W) to (B, rows * columns, D).
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let [rows, columns] = self.grid(input)?;
        let (batch, size) = (input.dim(0)?, self.size);
        let whole = input.narrow(2, 0, rows * size)?.narrow(3, 0, columns * size)?;
        let split = whole.reshape(vec![batch, self.channels, rows, size, columns, size])?;
        let patches = split.permute(vec![0, 2, 4, 1, 3, 5])?;
        let numbers = self.channels * size * size;
        let patches = patches.reshape((batch, rows * columns, numbers))?;
        let weight = self.weight.reshape((self.weight.dim(0)?, numbers))?;
        Ok(Linear::from_tensors(weight, self.bias.clone())?.forward(&patches)?)
    }
}
