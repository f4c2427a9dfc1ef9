//! Typed access to candle's storage, and vectors that are written before they are read.

use std::mem::MaybeUninit;
use std::ops::Deref;

use candle_core::{
    CpuStorage, DType, Device, FloatDType, Layout, Result, Shape, Storage, Tensor, bail,
};

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

/// A contiguous tensor of the CPU, opened for reading.
pub(crate) struct Opened<'a, S> {
    storage: S,
    layout: &'a Layout,
    op: &'static str,
}

/// Opens a tensor.
pub(crate) fn open<'a>(
    tensor: &'a Tensor,
    op: &'static str,
) -> Opened<'a, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    Opened { storage, layout, op }
}

impl<S: Deref<Target = Storage>> Opened<'_, S> {
    pub(crate) fn storage(&self) -> Result<&CpuStorage> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage),
            _ => bail!("{}: the kernel needs a CPU tensor", self.op),
        }
    }

    pub(crate) fn values<T: FloatDType>(&self) -> Result<&[T]> {
        values(self.storage()?, self.layout, self.op)
    }

    pub(crate) fn copy(&self) -> Result<CpuStorage> {
        Ok(dispatch!(self.storage()?, self.op, |T| { self.values::<T>()?.to_vec() }))
    }
}

/// A tensor of computed values, shaped as another.
pub(crate) fn tensor_of(storage: CpuStorage, like: &Tensor) -> Result<Tensor> {
    shaped(storage, like.shape())
}

/// A tensor of computed values.
pub(crate) fn shaped(storage: CpuStorage, shape: impl Into<Shape>) -> Result<Tensor> {
    match storage {
        CpuStorage::F32(values) => Tensor::from_vec(values, shape, &Device::Cpu),
        CpuStorage::F64(values) => Tensor::from_vec(values, shape, &Device::Cpu),
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

/// Evaluates a block of code for the element type `T` of a storage, and stores the vector it returns.
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

/// Uninitialised values, as zeros.
pub(crate) fn zeroed<T: FloatDType>(values: &mut [MaybeUninit<T>]) -> &mut [T] {
    for value in values.iter_mut() {
        value.write(T::zero());
    }
    // SAFETY: all have just been written, and `MaybeUninit<T>` is laid out as `T`.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [T]) }
}
