//! One source for every instruction set.
//!
//! Kernels are generic over `pulp::Simd`; [`run`] takes the widest vectors that the processor has.

use std::sync::OnceLock;

use pulp::{Arch, WithSimd};

/// Runs `job` with the widest vectors of this processor.
pub(crate) fn run<J: WithSimd>(job: J) -> J::Output {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    ARCH.get_or_init(Arch::new).dispatch(job)
}
