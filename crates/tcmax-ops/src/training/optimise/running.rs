//! Values that an optimiser keeps beside those of a parameter, such as its momentum.

use candle_core::{CpuStorage, DType, Result as CandleResult, Tensor, Var};

use crate::cpu::storage::{open, tensor_of};

const OP: &str = "running values";

/// The running values of one parameter, of its shape and element type.
#[derive(Debug)]
pub(crate) enum Running {
    /// Where the kernels run.
    Cpu(Vec<CpuStorage>),
    /// Where candle's operations do.
    Device(Vec<Tensor>),
}

impl Running {
    /// `count` running values of 0 for each value of a parameter.
    pub(crate) fn zeros(var: &Var, count: usize) -> CandleResult<Self> {
        // Not one tensor several times: they are changed in place.
        let zeros = (0..count).map(|_| var.zeros_like()).collect::<CandleResult<_>>()?;
        Self::of(var, zeros)
    }

    /// Copies of tensors in a parameter's native layout.
    pub(crate) fn of(var: &Var, tensors: Vec<Tensor>) -> CandleResult<Self> {
        if !var.device().is_cpu() || !matches!(var.dtype(), DType::F32 | DType::F64) {
            return Ok(Self::Device(tensors));
        }
        let copies = tensors.iter().map(|tensor| open(tensor, OP).copy());
        Ok(Self::Cpu(copies.collect::<CandleResult<_>>()?))
    }

    /// The running values of one kind, in the native layout of the parameter.
    pub(crate) fn tensor(&self, index: usize, like: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Cpu(storages) => tensor_of(storages[index].clone(), like),
            Self::Device(tensors) => Ok(tensors[index].clone()),
        }
    }
}
