//! Kernels for f32 on a CPU: convolutions of images in channels-last order, (B, H, W, C), and small
//! networks.
//!
//! ```text
//! micro      products of a few rows with a panel of 32 columns, the only arithmetic of a GEMM
//! winograd   3x3 at stride 1: F(4x4, 3x3), a quarter of the multiplications
//! implicit   every other shape: the windows of an image are read in place, never unfolded
//! dense      products of matrices of small networks
//! perceptron all layers of a small network, a band of rows at a time
//! quadratic  u^T Q u of rows u
//! block      a matrix split into parts that tasks may write at the same time
//! scratch    buffers kept by their thread from one call to the next
//! ```
//!
//! One source serves every instruction set: the kernels are generic over `pulp::Simd`, and [`run`]
//! takes the widest the processor has. Work is cut into tasks by the shapes alone and sums are
//! added in a fixed order, so results have the same bits for every number of threads.
//!
//! `unsafe` in here is in `block`, in the innermost loops of `micro` and in the loads and stores of
//! `winograd::tiles`, each behind a check of its bounds.

mod block;
mod convolution;
mod dense;
mod implicit;
mod micro;
pub(crate) mod perceptron;
pub(crate) mod quadratic;
pub(crate) mod scratch;
mod winograd;

pub(crate) use convolution::{Shape, forward, input_grad, weight_grad};

use std::sync::OnceLock;

use pulp::{Arch, WithSimd};

/// Runs `job` with the widest vectors of this processor.
pub(crate) fn run<J: WithSimd>(job: J) -> J::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(job)
}
