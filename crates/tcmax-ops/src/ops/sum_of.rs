//! The sum of tensors of one shape.

use candle_core::{Result, Tensor, bail};

/// `tensors[0] + tensors[1] + ...`, in this order.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
/// assert_eq!(tcmax_ops::sum_of(&[x.clone(), x])?.to_vec1::<f32>()?, [2.0, 4.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is none, or shapes differ.
pub fn sum_of(tensors: &[Tensor]) -> Result<Tensor> {
    let Some((first, rest)) = tensors.split_first() else {
        bail!("sum_of: got no tensor, wanted at least one");
    };
    rest.iter().try_fold(first.clone(), |sum, tensor| sum + tensor)
}
