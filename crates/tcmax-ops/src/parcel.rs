//! More parameters for an operation than candle's graph passes.
//!
//! A candle operation takes at most three tensors. A [`Parcel`] stands for two or more parameters
//! as one tensor of a single 0, so that an operation can take a convolution's weight, a batch norm's
//! weight and bias, an input and a residual, or all layers of a perceptron. The operation computes with the parameters themselves;
//! in its backward pass it leaves their gradients with the parcel, and the parcel, whose own
//! backward pass candle runs later, hands them on.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
};

use crate::backward::hand_over;

/// Two or more parameters in one place of an operation's arguments.
#[derive(Clone)]
pub(crate) struct Parcel {
    contents: Vec<Tensor>,
    gradients: Arc<Mutex<Vec<Option<Tensor>>>>,
    token: Tensor,
}

impl Parcel {
    /// # Errors
    /// When there are fewer than two tensors.
    pub(crate) fn new(contents: Vec<Tensor>) -> Result<Self> {
        let gradients: Arc<Mutex<Vec<Option<Tensor>>>> = Arc::default();
        let mut token: Option<Tensor> = None;
        let mut first = 0;
        for size in group_sizes(contents.len()) {
            let open = Open { gradients: Arc::clone(&gradients), first };
            let own = match &contents[first..first + size] {
                [a, b] => a.apply_op2(b, open)?,
                [a, b, c] => a.apply_op3(b, c, open)?,
                other => bail!("a parcel of {} tensors", other.len()),
            };
            token = Some(match token {
                Some(others) => others.apply_op2(&own, Join)?,
                None => own,
            });
            first += size;
        }
        let Some(token) = token else { bail!("a parcel of nothing") };
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

/// The operation behind the token of two or three parameters, numbered from `first` on.
struct Open {
    gradients: Arc<Mutex<Vec<Option<Tensor>>>>,
    first: usize,
}

impl Open {
    fn token() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn gradient(&self, place: usize, parameter: &Tensor) -> Option<Tensor> {
        let mut gradients = self.gradients.lock().unwrap_or_else(PoisonError::into_inner);
        let gradient = gradients.get_mut(self.first + place)?.take()?;
        hand_over(parameter, gradient)
    }
}

/// The operation that makes one token of two.
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
        Ok(Open::token())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // The numbers mean nothing; that they come makes candle visit both sides.
        let visit = |token: &Tensor| token.track_op().then(|| gradient.clone());
        Ok((visit(a), visit(b)))
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
