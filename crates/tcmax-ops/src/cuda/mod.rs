//! Kernels on NVIDIA's devices.
//!
//! `kernels.cu` is compiled at run time for the device that is there. Its tests compile it for the host and run it
//! there, with the launches planned as for a device.

#[cfg(feature = "cudnn")]
pub(crate) mod conv2d;
#[cfg(feature = "cuda")]
pub(crate) mod graph;
#[cfg(test)]
mod host;
#[cfg(feature = "cuda")]
pub(crate) mod launch;
#[cfg(feature = "nccl")]
pub(crate) mod nccl;
#[cfg(feature = "cuda")]
pub(crate) mod norm;
#[cfg(feature = "cuda")]
pub(crate) mod pinned;
pub(crate) mod plan;
