//! What is computed together, and whether it fits.

use candle_core::{Result, Tensor, bail};

use crate::cpu::storage::check_dtype;
use crate::geometry::{ConvShape, Window};
use crate::ops::conv2d::{Conv2dConfig, shape_of};
use crate::ops::max_pool2d::MaxPool2dConfig;
use crate::training::members::Members;

pub(super) const OP: &str = "batch_norm";

/// What is computed together with a normalisation: pool(relu(norm(conv(x)) + residual)). Before a pool
/// there always is a ReLU, and never a residual.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// Filters of a convolution before the norm.
    pub(crate) conv: Option<(&'a Tensor, Conv2dConfig)>,
    pub(crate) residual: Option<&'a Tensor>,
    pub(crate) relu: bool,
    pub(crate) pool: Option<MaxPool2dConfig>,
}

/// A normalisation by channel.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) weight: &'a Tensor,
    pub(crate) bias: &'a Tensor,
    pub(crate) eps: f64,
    /// Mean and variance to use instead of the batch's own.
    pub(crate) given: Option<[&'a Tensor; 2]>,
    /// Whose values the batch's statistics are of, besides those here.
    pub(crate) members: Option<&'a Members>,
}

/// Sizes that fit.
pub(super) struct Sizes {
    pub(super) conv: Option<ConvShape>,
    pub(super) pool: Option<Window>,
    /// Values of each channel.
    pub(super) count: usize,
}

impl Sizes {
    /// The sizes, after checking that everything fits.
    pub(super) fn new(x: &Tensor, norm: Norm<'_>, around: Around<'_>) -> Result<Self> {
        if x.device().is_cpu() {
            check_dtype(x, OP)?;
        }
        let conv = around.conv.map(|(filters, config)| shape_of(x, filters, config)).transpose()?;
        let dims = conv.map_or_else(|| x.shape().clone(), |conv| conv.out_dims()).into_dims();
        let channels = norm.weight.elem_count();
        let (count, image) = match dims[..] {
            [b, h, w, c] if c == channels && b * h * w > 0 => (b * h * w, (h, w)),
            _ => bail!("{OP}: got input {dims:?}, wanted [batch, height, width, {channels}]"),
        };
        // Of several members, the count of all is known after the exchange.
        if norm.given.is_none() && norm.members.is_none() && count < 2 {
            bail!("{OP}: training needs at least 2 values in each channel, got {count}");
        }
        if let Some(residual) = around.residual
            && (residual.dims() != dims || residual.dtype() != x.dtype())
        {
            let (got, kind) = (residual.dims(), residual.dtype());
            bail!("{OP}: got residual {got:?} {kind:?} for output {dims:?} {:?}", x.dtype());
        }
        let pool = around.pool.map(|pool| pool.window(image)).transpose()?;
        Ok(Self { conv, pool, count })
    }
}
