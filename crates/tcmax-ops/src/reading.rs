//! Values that are only looked at, of which nothing is kept for gradients.

use std::cell::Cell;

use candle_core::Tensor;

use crate::scope::with_flag;

thread_local! {
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, in which the operations of this crate on this thread take parameters as numbers and not as what is trained:
/// what they compute of inputs without gradients has none either, and a network keeps nothing between its layers for a
/// backward pass that will not come.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tcmax_ops::{Linear, only_reading};
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Var::new(&[[2f32]], &Device::Cpu)?;
/// let layer = Linear::from_tensors(weight.as_tensor().clone(), Tensor::new(&[1f32], &Device::Cpu)?)?;
/// let x = Tensor::new(&[[3f32]], &Device::Cpu)?;
/// assert!(layer.forward(&x)?.track_op());
/// let y = only_reading(|| layer.forward(&x))?;
/// assert!(!y.track_op());
/// assert_eq!(y.to_vec2::<f32>()?, [[7.0]]);
/// # Ok(())
/// # }
/// ```
pub fn only_reading<T>(f: impl FnOnce() -> T) -> T {
    with_flag(&IS_READING, true, f)
}

/// Runs `f`, in which parameters are trained whatever is around it.
pub(crate) fn not_reading<T>(f: impl FnOnce() -> T) -> T {
    with_flag(&IS_READING, false, f)
}

/// `x`, as operations take it: without its graph where values are only looked at.
pub(crate) fn seen(x: &Tensor) -> Tensor {
    if IS_READING.get() { x.detach() } else { x.clone() }
}
