//! Half precision: products of bf16, with everything that needs more digits in f32.
//!
//! Parameters, and with them their gradients and the optimiser's state, stay f32; a product rounds its inputs. Statistics,
//! norms of f32, softmax and sums are computed in f32. On devices without kernels for bf16, a CPU among them, values are
//! rounded as on those that have some, and computed with in f32: right, and slower than f32.

use std::cell::Cell;

use candle_core::{DType, Result, Tensor};

use crate::reading::seen;
use crate::scope::with_flag;

thread_local! {
    static IS_HALF: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, in which products of f32 on this thread are in half precision: linear layers, perceptrons, convolutions
/// and attention round their inputs to bf16, and so are their results. Norms of batches, activations, pooling and
/// dropout keep the type of what they are given; means over pixels or steps are f32 again. Source: Micikevicius et
/// al. 2018, "Mixed Precision Training", with the range of bf16 in place of scaled losses.
///
/// ```
/// use candle_core::{DType, Device, Tensor, Var};
/// use tcmax_ops::{Linear, in_half_precision};
///
/// # fn main() -> candle_core::Result<()> {
/// // 1 + 1/1024 has more binary digits than the 8 of bf16.
/// let weight = Var::new(&[[1f32 + 1.0 / 1024.0]], &Device::Cpu)?;
/// let layer = Linear::from_tensors(weight.as_tensor().clone(), Tensor::new(&[0f32], &Device::Cpu)?)?;
/// let x = Tensor::new(&[[2f32]], &Device::Cpu)?;
/// assert_eq!(layer.forward(&x)?.to_vec2::<f32>()?, [[2.001953125]]);
/// let y = in_half_precision(|| layer.forward(&x))?;
/// assert_eq!(y.dtype(), DType::BF16);
/// assert_eq!(y.to_dtype(DType::F32)?.to_vec2::<f32>()?, [[2.0]]);
/// // The gradient is the parameter's own type.
/// assert_eq!(y.sum_all()?.backward()?.get(weight.as_tensor()).unwrap().dtype(), DType::F32);
/// # Ok(())
/// # }
/// ```
pub fn in_half_precision<T>(f: impl FnOnce() -> T) -> T {
    with_flag(&IS_HALF, true, f)
}

/// Runs `f`, in which products keep their types whatever is around it.
pub(crate) fn not_half<T>(f: impl FnOnce() -> T) -> T {
    with_flag(&IS_HALF, false, f)
}

/// Whether products of `x` are in half precision.
pub(crate) fn is_half(x: &Tensor) -> bool {
    IS_HALF.get() && matches!(x.dtype(), DType::F32 | DType::BF16)
}

/// The type of parameters for `x`, which statistics and sums of its values are computed in.
pub(crate) fn of_parameters(x: &Tensor) -> DType {
    if x.dtype() == DType::BF16 { DType::F32 } else { x.dtype() }
}

/// `x` in the type that sums of its values are computed in.
pub(crate) fn widened(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(of_parameters(x))
}

/// `f` of tensors that are multiplied with each other, of the same type where they are in half precision.
pub(crate) fn product<const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    let tensors = tensors.map(seen);
    let tensors = tensors.each_ref();
    if !tensors.first().is_some_and(|x| is_half(x)) {
        return f(tensors);
    }
    through_f32(&all(tensors, |t| t.to_dtype(DType::BF16))?.each_ref(), f)
}

/// `f` of `x`, whose result is of the type of `x`.
pub(crate) fn preserving(x: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    through_f32(&[&seen(x)], |[x]| f(x))
}

/// `f` of tensors; of bf16 where no kernel knows it, `f` of f32, and its result in bf16.
fn through_f32<const N: usize>(
    tensors: &[&Tensor; N],
    f: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    if !tensors.first().is_some_and(|x| needs_f32(x)) {
        return f(*tensors);
    }
    f(all(*tensors, widened)?.each_ref())?.to_dtype(DType::BF16)
}

/// Whether values of bf16 are computed with in f32.
pub(crate) fn needs_f32(x: &Tensor) -> bool {
    x.dtype() == DType::BF16 && !x.device().is_cuda()
}

fn all<const N: usize>(
    tensors: [&Tensor; N],
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<[Tensor; N]> {
    let mut done = tensors.map(Tensor::clone);
    for tensor in &mut done {
        *tensor = f(tensor)?;
    }
    Ok(done)
}

/// Two tensors in the wider of their types.
pub(crate) fn in_common(a: &Tensor, b: &Tensor) -> Result<[Tensor; 2]> {
    match [a.dtype(), b.dtype()] {
        [DType::BF16, DType::F32] => Ok([widened(a)?, b.clone()]),
        [DType::F32, DType::BF16] => Ok([a.clone(), widened(b)?]),
        _ => Ok([a.clone(), b.clone()]),
    }
}
