//! Sums over NVIDIA's devices by NCCL, from device to device.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::nccl::{Comm, Id, ReduceOp};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp1, Device, Error, Layout, Result, Shape, Tensor,
    bail,
};
use tcmax_parallel::{Group, Purpose};

use crate::training::device_sums::{DeviceGroup, DeviceSums};

const OP: &str = "sum over devices";

/// The group, with sums by NCCL where every member has an NVIDIA device of its own.
pub(crate) fn joined(group: Arc<dyn Group>, device: &Device) -> Result<Arc<dyn Group>> {
    if group.size() == 1 {
        return Ok(group);
    }
    // What is free of devices says so too: all members have to come to the same.
    let own = match device {
        Device::Cuda(device) => Some(device),
        _ => None,
    };
    let name = own.map(identity).transpose()?.unwrap_or_default();
    let names = group.all_gather(&name, Purpose::Control).map_err(Error::wrap)?;
    let different: BTreeSet<&Vec<u8>> = names.iter().filter(|name| !name.is_empty()).collect();
    match own {
        Some(device) if different.len() == group.size() => {
            let ring = Ring::new(group.as_ref(), device)?;
            Ok(Arc::new(DeviceGroup::new(group, ring)))
        }
        _ => Ok(group),
    }
}

/// What no other device has.
fn identity(device: &CudaDevice) -> Result<Vec<u8>> {
    let id = device.cuda_stream().context().uuid().map_err(Error::wrap)?;
    Ok(id.bytes.iter().map(|byte| *byte as u8).collect())
}

/// One member's end of the connection between all devices.
struct Ring(Mutex<Held>);

struct Held(Comm);

// SAFETY: a communicator may be used by any thread, one at a time, which the mutex around it sees to.
unsafe impl Send for Held {}

impl Ring {
    /// The end of a member, which all members make at the same time.
    fn new(group: &dyn Group, device: &CudaDevice) -> Result<Self> {
        let own = match group.rank() {
            0 => Id::new().map_err(problem)?.internal().map(|byte| byte as u8).to_vec(),
            _ => Vec::new(),
        };
        let all = group.all_gather(&own, Purpose::Control).map_err(Error::wrap)?;
        let Ok(id) = <[u8; 128]>::try_from(&all[0][..]) else {
            bail!("{OP}: the first member's name of the ring has {} bytes, not 128", all[0].len());
        };
        let id = Id::uninit(id.map(|byte| byte as _));
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        let comm = Comm::from_rank(stream, group.rank(), group.size(), id).map_err(problem)?;
        Ok(Self(Mutex::new(Held(comm))))
    }
}

impl DeviceSums for Ring {
    fn sum(&self, x: &Tensor) -> Result<Tensor> {
        x.detach().contiguous()?.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for Ring {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("{OP}: it is for NVIDIA's devices")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{OP}: a tensor of shape {:?} is not contiguous", layout.shape());
        };
        let device = x.device.clone();
        let own = x.as_cuda_slice::<f32>()?.slice(start..end);
        let mut sums = device.alloc_zeros::<f32>(end - start)?;
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.0.all_reduce(&own, &mut sums, &ReduceOp::Sum).map_err(problem)?;
        Ok((CudaStorage::wrap_cuda_slice(sums, device), layout.shape().clone()))
    }
}

/// NCCL's errors are numbers without a text.
fn problem(error: impl std::fmt::Debug) -> Error {
    Error::Msg(format!("{OP}: NCCL: {error:?}")).bt()
}
