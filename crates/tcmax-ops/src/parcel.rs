//! More parameters for an operation than candle's graph passes.
//!
//! A candle operation takes at most three tensors. A [`Parcel`] stands for two or three parameters
//! as one tensor of a single 0, so that an operation can take a convolution's weight, a batch norm's
//! weight and bias, an input and a residual. The operation computes with the parameters themselves;
//! in its backward pass it leaves their gradients with the parcel, and the parcel, whose own
//! backward pass candle runs later, hands them on.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
};

use crate::backward::hand_over;

/// Two or three parameters in one place of an operation's arguments.
#[derive(Clone)]
pub(crate) struct Parcel {
    contents: Vec<Tensor>,
    gradients: Arc<Mutex<Vec<Option<Tensor>>>>,
    token: Tensor,
}

impl Parcel {
    /// # Errors
    /// When there are neither two nor three tensors.
    pub(crate) fn new(contents: Vec<Tensor>) -> Result<Self> {
        let gradients: Arc<Mutex<Vec<Option<Tensor>>>> = Arc::default();
        let op = Open(Arc::clone(&gradients));
        let token = match &contents[..] {
            [a, b] => a.apply_op2(b, op)?,
            [a, b, c] => a.apply_op3(b, c, op)?,
            other => bail!("a parcel of {} tensors", other.len()),
        };
        Ok(Self { contents, gradients, token })
    }

    /// What an operation takes as its argument.
    pub(crate) fn token(&self) -> &Tensor {
        &self.token
    }

    pub(crate) fn contents(&self) -> &[Tensor] {
        &self.contents
    }

    /// Leaves the gradients of the contents, in their order; returns the gradient of the token.
    pub(crate) fn deliver(&self, gradients: Vec<Option<Tensor>>) -> Result<Option<Tensor>> {
        *self.gradients.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
        let tracked = self.token.track_op();
        tracked.then(|| Tensor::zeros(1, DType::F32, &Device::Cpu)).transpose()
    }
}

/// The operation behind a parcel's token.
struct Open(Arc<Mutex<Vec<Option<Tensor>>>>);

impl Open {
    fn token() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn gradient(&self, place: usize, parameter: &Tensor) -> Option<Tensor> {
        let mut gradients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gradient = gradients.get_mut(place)?.take()?;
        hand_over(parameter, gradient)
    }
}

impl CustomOp2 for Open {
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
        Ok(Self::token())
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

impl CustomOp3 for Open {
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
        Ok(Self::token())
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
