//! What the CPU kernels share: typed access to candle's storage, and matrix products on slices.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, DType, FloatDType, Layout, Result, Storage, Tensor, bail};

use crate::kernels::{self, Shape};
use crate::unfold;

/// The values of a contiguous tensor as a slice.
pub(crate) fn values<'a, T: FloatDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
    op: &'static str,
) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("{op}: the kernel got a non-contiguous tensor of shape {:?}", layout.shape());
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// The CPU side of a storage.
pub(crate) fn storage_of<'a>(storage: &'a Storage, op: &'static str) -> Result<&'a CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("{op}: the kernel needs a CPU tensor"),
    }
}

/// A tensor of computed values, shaped as another.
pub(crate) fn tensor_of(storage: CpuStorage, like: &Tensor) -> Result<Tensor> {
    match storage {
        CpuStorage::F32(values) => Tensor::from_vec(values, like.shape(), like.device()),
        CpuStorage::F64(values) => Tensor::from_vec(values, like.shape(), like.device()),
        _ => bail!("f32 and f64 are supported"),
    }
}

/// Refuses what the kernels do not compute with.
pub(crate) fn check_dtype(tensor: &Tensor, op: &'static str) -> Result<()> {
    match tensor.dtype() {
        DType::F32 | DType::F64 => Ok(()),
        other => bail!("{op}: element type {other:?}; f32 and f64 are supported"),
    }
}

/// Evaluates a block of code for the element type `T` of a storage, and stores the vector it gives.
macro_rules! dispatch {
    ($storage:expr, $op:expr, |$T:ident| $body:block) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $T = f32;
                candle_core::CpuStorage::F32($body)
            }
            candle_core::CpuStorage::F64(_) => {
                type $T = f64;
                candle_core::CpuStorage::F64($body)
            }
            _ => candle_core::bail!("{}: f32 and f64 are supported", $op),
        }
    };
}
pub(crate) use dispatch;

/// A vector of `len` values that `write` writes, without writing zeros first.
///
/// # Safety
/// `write` must write every value.
pub(crate) unsafe fn written<T>(len: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is `len` at least, and the caller promises that all are written.
    unsafe { values.set_len(len) };
    values
}

/// Values that hold nothing yet, as zeros.
pub(crate) fn zeroed<T: FloatDType>(values: &mut [MaybeUninit<T>]) -> &mut [T] {
    for value in values.iter_mut() {
        value.write(T::zero());
    }
    // SAFETY: all have just been written, and `MaybeUninit<T>` is laid out as `T`.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [T]) }
}

/// What the kernels compute with: f32 through the fast ones, f64 through the plain ones.
pub(crate) trait Element: FloatDType {
    /// Convolves; the passes of a convolution write every value of their last argument.
    fn conv2d(shape: &Shape, x: &[Self], weight: &[Self], y: &mut [MaybeUninit<Self>]);
    fn conv2d_input_grad(
        shape: &Shape,
        weight: &[Self],
        grad: &[Self],
        dx: &mut [MaybeUninit<Self>],
    );
    fn conv2d_weight_grad(shape: &Shape, x: &[Self], grad: &[Self], dw: &mut [MaybeUninit<Self>]);
    /// The square root.
    fn root(self) -> Self;
    /// e to this power.
    fn exponential(self) -> Self;
    /// e to this power, which is not above 0 by more than rounding; inlined into vector loops.
    fn exp_of_at_most_zero(self) -> Self;
    /// The values of a storage of this type.
    fn slice(storage: &CpuStorage) -> Result<&[Self]>;
    /// The values of a storage of this type, for writing.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
    /// A storage of this type.
    fn storage(values: Vec<Self>) -> CpuStorage;
}

macro_rules! element {
    ($T:ty, $variant:ident, $module:ident, $exp:expr) => {
        impl Element for $T {
            fn conv2d(shape: &Shape, x: &[Self], weight: &[Self], y: &mut [MaybeUninit<Self>]) {
                $module::forward(shape, x, weight, y);
            }

            fn conv2d_input_grad(
                shape: &Shape,
                weight: &[Self],
                grad: &[Self],
                dx: &mut [MaybeUninit<Self>],
            ) {
                $module::input_grad(shape, weight, grad, dx);
            }

            fn conv2d_weight_grad(
                shape: &Shape,
                x: &[Self],
                grad: &[Self],
                dw: &mut [MaybeUninit<Self>],
            ) {
                $module::weight_grad(shape, x, grad, dw);
            }

            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            fn exponential(self) -> Self {
                self.exp()
            }

            #[inline(always)]
            fn exp_of_at_most_zero(self) -> Self {
                $exp(self)
            }

            fn slice(storage: &CpuStorage) -> Result<&[Self]> {
                storage.as_slice()
            }

            fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(values) => Ok(values),
                    _ => bail!("the storage does not hold {}", stringify!($T)),
                }
            }

            fn storage(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$variant(values)
            }
        }
    };
}
element!(f32, F32, kernels, crate::exponential::exp_of_at_most_zero);
element!(f64, F64, unfold, f64::exp);

/// A matrix in a slice: element (row, column) at `row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix filling its slice.
    pub(crate) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self { values, rows, columns, strides: [columns, 1] }
    }

    /// The same values, rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        let Self { values, rows, columns, .. } = self;
        Self { values, rows: columns, columns: rows, strides: [column, row] }
    }
}

/// `out` (row-major) becomes `left * right`, or has it added.
pub(crate) fn multiply<T: FloatDType>(
    out: &mut [T],
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows);
    assert_eq!(out.len(), m * n);
    // SAFETY: every index that gemm touches is row * stride + column * stride with row and column
    // below the dimensions asserted above and in `Matrix::new`, so inside the three slices; `out`
    // is borrowed mutably, so it overlaps neither input; T is f32 or f64 (gemm panics on types it
    // does not know, and `dispatch` passes no others).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            left.values.as_ptr(),
            left.strides[1] as isize,
            left.strides[0] as isize,
            right.values.as_ptr(),
            right.strides[1] as isize,
            right.strides[0] as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            // Threads work on images; a product inside one image stays on its thread, so results
            // do not depend on how many there are.
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_plain_and_transposed_matrices() {
        let a = [1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0f64, 0.0, 0.0, 1.0, 1.0, 1.0];
        let mut out = [0.0; 4];
        multiply(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), false);
        assert_eq!(out, [4.0, 5.0, 10.0, 11.0]);
        multiply(&mut out, Matrix::new(&a, 3, 2).transposed(), Matrix::new(&b, 3, 2), true);
        assert_eq!(out, [4.0 + 6.0, 5.0 + 8.0, 10.0 + 8.0, 11.0 + 10.0]);
    }
}
