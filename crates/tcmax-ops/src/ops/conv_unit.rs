//! The unit of a residual network: convolution, batch normalisation, residual and ReLU in one.

use candle_core::{Result as CandleResult, Tensor};

use crate::error::{Error, Result};
use crate::graph::hidden::Hidden;
use crate::ops::batch_norm::BatchNorm2d;
use crate::ops::conv2d::Conv2dConfig;
use crate::ops::fused_norm::Around;
use crate::ops::max_pool2d::MaxPool2dConfig;

/// A convolution without bias and the batch normalisation after it, computed as one operation with the
/// residual, the ReLU or the maximum that follow. The values are those of the operations one by one; the
/// memory between them is saved.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{BatchNorm2d, ConvUnit, Conv2dConfig, Init, ParamBuilder, Seed};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let filters = builder.pp("conv").filters("weight", [8, 3, 3, 3], Init::KaimingNormalFanOut)?;
/// let norm = BatchNorm2d::new(&builder.pp("norm"), 8, Default::default())?;
/// let unit = ConvUnit::new(filters, Conv2dConfig { stride: (2, 2), padding: (1, 1) }, norm)?;
/// let x = Tensor::zeros((4, 9, 9, 3), DType::F32, &Device::Cpu)?;
/// assert_eq!(unit.forward(&x, None, true, true)?.dims(), [4, 5, 5, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConvUnit {
    filters: Tensor,
    conv: Conv2dConfig,
    norm: BatchNorm2d,
}

impl ConvUnit {
    /// A unit of filters (height, width, in, out) and a norm of `out` channels.
    ///
    /// # Errors
    /// When the filters are not so.
    pub fn new(filters: Tensor, conv: Conv2dConfig, norm: BatchNorm2d) -> Result<Self> {
        match filters.dims() {
            &[_, _, _, out] if out == norm.channels() => Ok(Self { filters, conv, norm }),
            _ => {
                Err(Error::WrongFilters { got: filters.shape().clone(), channels: norm.channels() })
            }
        }
    }

    /// relu(norm(conv(x)) + residual) of `x` (B, H, W, in), ReLU and residual only if asked for.
    ///
    /// # Errors
    /// As [`conv2d`](crate::conv2d()) and [`BatchNorm2d::forward`], and when the residual has another
    /// shape than the output.
    pub fn forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        train: bool,
    ) -> CandleResult<Tensor> {
        let residual = residual.map(Hidden::of).transpose()?;
        Hidden::of(x)?.conv_unit(self, residual.as_ref(), relu, train)?.tensor()
    }

    /// max_pool2d(relu(norm(conv(x)))): the stem of a residual network. The normalised image is never
    /// written.
    ///
    /// # Errors
    /// As [`Self::forward`] and [`max_pool2d`](crate::max_pool2d()).
    pub fn forward_pooled(
        &self,
        x: &Tensor,
        pool: MaxPool2dConfig,
        train: bool,
    ) -> CandleResult<Tensor> {
        Hidden::of(x)?.pooled_conv_unit(self, pool, train)?.tensor()
    }
}

impl Hidden {
    /// relu(norm(conv(x)) + residual) of hidden values, as [`ConvUnit::forward`].
    ///
    /// # Errors
    /// As [`ConvUnit::forward`].
    pub fn conv_unit(
        &self,
        unit: &ConvUnit,
        residual: Option<&Self>,
        relu: bool,
        train: bool,
    ) -> CandleResult<Self> {
        let conv = Some((&unit.filters, unit.conv));
        let around = Around { conv, residual: None, relu, pool: None };
        unit.norm.forward_hidden(around, self, residual, train)
    }

    /// max_pool2d(relu(norm(conv(x)))) of hidden values, as [`ConvUnit::forward_pooled`].
    ///
    /// # Errors
    /// As [`ConvUnit::forward_pooled`].
    pub fn pooled_conv_unit(
        &self,
        unit: &ConvUnit,
        pool: MaxPool2dConfig,
        train: bool,
    ) -> CandleResult<Self> {
        let conv = Some((&unit.filters, unit.conv));
        let around = Around { conv, residual: None, relu: true, pool: Some(pool) };
        unit.norm.forward_hidden(around, self, None, train)
    }
}
