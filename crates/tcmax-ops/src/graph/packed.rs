//! More parameters for an operation than candle's graph passes.
//!
//! A candle operation takes at most three tensors. [`PackedParameters`] pass two or more parameters as
//! one: an operation takes their handle, a tensor of a single 0, as its argument, and computes with the
//! parameters themselves. So one operation can take a convolution's weight, a batch norm's weight and
//! bias, an input and a residual, or all layers of a perceptron. Its backward pass leaves the gradients
//! of the parameters with the packed parameters; candle later runs the backward pass of the handle, which
//! passes them on.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, DType, Device, FloatDType, Layout, Result, Shape, Tensor,
    bail,
};

use crate::cpu::storage::open;
use crate::graph::backward::hand_over;
use crate::reading::seen;

/// Two or more parameters as one argument of an operation.
#[derive(Clone)]
pub(crate) struct PackedParameters {
    tensors: Vec<Tensor>,
    gradients: Arc<Mutex<Vec<Option<Tensor>>>>,
    handle: Tensor,
}

impl PackedParameters {
    /// # Errors
    /// When there are fewer than two tensors.
    pub(crate) fn new(tensors: &[Tensor]) -> Result<Self> {
        let tensors: Vec<Tensor> = tensors.iter().map(seen).collect();
        let gradients: Arc<Mutex<Vec<Option<Tensor>>>> = Arc::default();
        let mut handle: Option<Tensor> = None;
        let mut first = 0;
        for size in group_sizes(tensors.len()) {
            let group = Group { gradients: Arc::clone(&gradients), first };
            let of_group = match &tensors[first..first + size] {
                [a, b] => a.apply_op2(b, group)?,
                [a, b, c] => a.apply_op3(b, c, group)?,
                other => bail!("a group of {} parameters", other.len()),
            };
            handle = Some(match handle {
                Some(others) => others.apply_op2(&of_group, Join)?,
                None => of_group,
            });
            first += size;
        }
        let Some(handle) = handle else { bail!("no parameters to pack") };
        Ok(Self { tensors, gradients, handle })
    }

    /// What an operation takes as its argument.
    pub(crate) fn handle(&self) -> &Tensor {
        &self.handle
    }

    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Calls `body` with the values of the parameters, in their order.
    pub(crate) fn read<T: FloatDType, R>(
        &self,
        op: &'static str,
        body: impl FnOnce(&[&[T]]) -> Result<R>,
    ) -> Result<R> {
        let tensors = self.tensors.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
        let opened: Vec<_> = tensors.iter().map(|tensor| open(tensor, op)).collect();
        body(&opened.iter().map(|opened| opened.values()).collect::<Result<Vec<_>>>()?)
    }

    /// Leaves the gradients of the parameters, in their order; returns the gradient of the handle.
    pub(crate) fn set_gradients(&self, gradients: Vec<Option<Tensor>>) -> Result<Option<Tensor>> {
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
        let tracked = self.handle.track_op();
        tracked.then(|| Tensor::zeros(1, DType::F32, &Device::Cpu)).transpose()
    }
}

/// So many tensors in groups of three and two.
fn group_sizes(mut count: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    while count > 0 {
        let size = if count.is_multiple_of(3) || count > 4 { 3 } else { count.min(2) };
        sizes.push(size);
        count -= size;
    }
    sizes
}

/// The operation that makes the handle of two or three parameters, numbered from `first` on.
struct Group {
    gradients: Arc<Mutex<Vec<Option<Tensor>>>>,
    first: usize,
}

impl Group {
    fn handle() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn gradient(&self, index: usize, parameter: &Tensor) -> Option<Tensor> {
        let mut gradients = self.gradients.lock().unwrap_or_else(PoisonError::into_inner);
        let gradient = gradients.get_mut(self.first + index)?.take()?;
        hand_over(parameter, gradient)
    }
}

/// The operation that makes one handle of two.
struct Join;

impl CustomOp2 for Join {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(Group::handle())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // The numbers mean nothing: that there is a gradient makes candle visit both sides.
        let visit = |handle: &Tensor| handle.track_op().then(|| gradient.clone());
        Ok((visit(a), visit(b)))
    }
}

impl CustomOp2 for Group {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(Self::handle())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(0, a), self.gradient(1, b)))
    }
}

impl CustomOp3 for Group {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(Self::handle())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(0, a), self.gradient(1, b), self.gradient(2, c)))
    }
}
