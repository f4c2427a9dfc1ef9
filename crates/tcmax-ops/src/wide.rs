//! Numbers in the widest float type of a device: f64, but f32 on Metal, which has no f64.
//!
//! Sums of many terms and reported values are computed in f64. A cast to f64 on a Metal device is an
//! error, so code that may run on a device casts with [`wide`], and reads results with [`to_scalar_f64`]
//! or [`to_vec_f64`].

use candle_core::{DType, Device, Result, Tensor};

/// The widest float type of a device.
///
/// ```
/// use candle_core::{DType, Device};
///
/// assert_eq!(tcmax_ops::widest_float(&Device::Cpu), DType::F64);
/// ```
pub fn widest_float(device: &Device) -> DType {
    if device.is_metal() { DType::F32 } else { DType::F64 }
}

/// `x` in the widest float type of its device; the gradient comes back in x's own type.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// assert_eq!(tcmax_ops::wide(&x)?.dtype(), DType::F64);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Only if the device fails.
pub fn wide(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(widest_float(x.device()))
}

/// The number in a tensor of one element, of any rank, type and device.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// assert_eq!(tcmax_ops::to_scalar_f64(&Tensor::new(&[[0.5f32]], &Device::Cpu)?)?, 0.5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the tensor has another number of elements.
pub fn to_scalar_f64(x: &Tensor) -> Result<f64> {
    match to_vec_f64(x)?[..] {
        [value] => Ok(value),
        _ => candle_core::bail!("to_scalar_f64: got {:?}, wanted one element", x.dims()),
    }
}

/// All numbers of a tensor of any rank, type and device, row by row.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[[1u32, 2], [3, 4]], &Device::Cpu)?;
/// assert_eq!(tcmax_ops::to_vec_f64(&x)?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Only if the device fails.
pub fn to_vec_f64(x: &Tensor) -> Result<Vec<f64>> {
    // To the CPU first: not every device has f64.
    host_f64(x)?.flatten_all()?.to_vec1()
}

/// `x` in f64 on the CPU, without its graph, for small sums that need f64 whatever the device has.
///
/// # Errors
/// Only if the device fails.
pub fn host_f64(x: &Tensor) -> Result<Tensor> {
    x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)
}

/// A tensor of the CPU in the element type and on the device of `like`; cast before it is moved.
///
/// # Errors
/// Only if the device fails.
pub fn placed_like(tensor: &Tensor, like: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(like.dtype())?.to_device(like.device())
}
