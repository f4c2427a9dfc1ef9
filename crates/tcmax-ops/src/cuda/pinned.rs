//! Batches through memory that a device reads by itself.
//!
//! Of other memory of the host the driver first makes a copy, for which the thread that brings a batch waits until the
//! device has done all that it was given before.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::PinnedHostSlice;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Error, Result, Shape, Storage, Tensor};

/// Buffers of one size that are in use by turns: a device may still be reading all but the one that is written.
const TURNS: usize = 4;
/// Buffers that are kept at most; a loader has a few sizes, one for each modality, and others in an epoch's last batch.
const MOST: usize = 32;

/// Buffers that were written, the earliest first.
static WRITTEN: Mutex<Vec<PinnedHostSlice<f32>>> = Mutex::new(Vec::new());

/// A tensor of these values, which the device has when it needs them.
pub(crate) fn tensor(values: &[f32], shape: Shape, device: &CudaDevice) -> Result<Tensor> {
    let mut buffer = buffer(values.len(), device)?;
    // Waits until the device has read what was in it.
    buffer.as_mut_slice().map_err(Error::wrap)?.copy_from_slice(values);
    let copy = device.clone_htod(&buffer)?;
    keep(buffer);
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(copy, device.clone()));
    Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
}

/// The buffer of `count` values that was written earliest, or a new one where few are in use.
fn buffer(count: usize, device: &CudaDevice) -> Result<PinnedHostSlice<f32>> {
    let context = device.cuda_stream().context().clone();
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |buffer: &PinnedHostSlice<f32>| {
        buffer.len() == count && Arc::ptr_eq(buffer.context(), &context)
    };
    if written.iter().filter(|buffer| fits(buffer)).count() >= TURNS
        && let Some(first) = written.iter().position(fits)
    {
        return Ok(written.remove(first));
    }
    drop(written);
    // SAFETY: all of it is written before it is read.
    unsafe { context.alloc_pinned_with_flags::<f32>(count, 0) }.map_err(Error::wrap)
}

fn keep(buffer: PinnedHostSlice<f32>) {
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written.push(buffer);
    // Waits for the device that reads it.
    let last = if written.len() > MOST { Some(written.remove(0)) } else { None };
    drop(written);
    drop(last);
}
