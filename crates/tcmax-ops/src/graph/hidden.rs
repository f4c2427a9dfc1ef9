//! Values between operations, whose gradients the operations hand to one another.
//!
//! candle adds every gradient that a custom operation returns to a tensor of zeros: three passes over memory, and
//! two tensors that live at the same time, where one tensor would be passed on. Of a [`Hidden`] tensor candle's graph
//! knows a single 0, the node; the values and their gradient lie beside it. So candle decides what is visited, and in
//! which order, and adds numbers that mean nothing.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
};

use crate::cpu::pairwise;
use crate::cpu::storage::{check_dtype, open};
use crate::graph::backward::hand_over;
use crate::precision::is_half;
use crate::reading::seen;

const OP: &str = "hidden";

/// A tensor between two operations of one network: what a [`Tensor`] is to candle's own, without its gradient's
/// passes over memory. Elsewhere than on a CPU, and in half precision, it is a plain tensor.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tcmax_ops::{Gelu, Hidden, Linear};
///
/// # fn main() -> candle_core::Result<()> {
/// let weight = Var::new(&[[2f32]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0f32], &Device::Cpu)?;
/// let layer = Linear::from_tensors(weight.as_tensor().clone(), bias)?;
/// let x = Hidden::of(&Tensor::new(&[[50f32], [-50.0]], &Device::Cpu)?)?;
/// // x + gelu(2 x)
/// let y = x.add(&x.linear(&layer)?.gelu(Gelu::Exact)?)?.tensor()?;
/// assert_eq!(y.to_vec2::<f32>()?, [[150.0], [-50.0]]);
/// let gradients = tcmax_ops::backward(&y.sum_all()?)?;
/// assert_eq!(gradients.get(weight.as_tensor()).unwrap().to_vec2::<f32>()?, [[50.0]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Hidden {
    /// Outside candle's graph, if there is a node.
    values: Tensor,
    node: Option<Node>,
    again: Option<MadeAgain>,
}

/// How values are made again from what is kept for the backward pass anyway.
pub(crate) type Again = Arc<dyn Fn() -> Result<Tensor> + Send + Sync>;

#[derive(Clone)]
struct MadeAgain(Again);

impl std::fmt::Debug for MadeAgain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MadeAgain")
    }
}

/// What an operation keeps of the values that its backward pass reads.
pub(crate) enum Kept {
    Values(Tensor),
    /// Nothing.
    Again(Again),
}

impl Kept {
    pub(crate) fn values(&self) -> Result<Tensor> {
        match self {
            Self::Values(values) => Ok(values.clone()),
            Self::Again(again) => again(),
        }
    }
}

/// A place in candle's graph.
#[derive(Clone, Debug)]
struct Node {
    handle: Tensor,
    gradient: Gradient,
}

impl Node {
    /// A place whose handle is no result of anything.
    fn first() -> Result<Self> {
        Ok(Self { handle: nothing()?, gradient: Gradient::default() })
    }
}

/// The gradient that the operations after a place have left for the one before it.
#[derive(Clone, Debug, Default)]
struct Gradient(Arc<Mutex<Option<Tensor>>>);

impl Gradient {
    fn add(&self, gradient: Tensor) -> Result<()> {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(match sum.take() {
            Some(others) => pairwise::sum(&others, &gradient)?,
            None => gradient,
        });
        Ok(())
    }

    fn take(&self) -> Result<Tensor> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(gradient) => Ok(gradient),
            None => bail!("{OP}: no operation has left a gradient"),
        }
    }
}

/// What an operation is given beside its values.
pub(crate) enum Argument<'a> {
    Hidden(&'a Hidden),
    /// A tensor of candle's graph.
    Parameter(&'a Tensor),
    Nothing,
}

/// The gradients of up to three arguments, of the gradient of the result.
type Backward = Box<dyn Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync>;

impl Hidden {
    /// The values of `x`; their gradient becomes that of `x`.
    ///
    /// # Errors
    /// When the element type is neither f32 nor f64, on a CPU.
    pub fn of(x: &Tensor) -> Result<Self> {
        if !x.device().is_cpu() || is_half(x) {
            return Ok(Self::plain(x.clone()));
        }
        Self::apart(x)
    }

    /// The values of `x`, whose gradient is handed over beside candle's graph.
    pub(crate) fn apart(x: &Tensor) -> Result<Self> {
        check_dtype(x, OP)?;
        let x = &seen(x);
        let mut node = Node::first()?;
        if x.track_op() {
            node.handle = x.apply_op1(Enter(node.gradient.clone()))?;
        }
        Ok(Self { values: x.detach(), node: Some(node), again: None })
    }

    /// The tensor of these values in candle's graph: a copy.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.node {
            Some(node) if node.handle.track_op() => {
                let leave = Leave { values: self.values.clone(), gradient: node.gradient.clone() };
                node.handle.apply_op1(leave)
            }
            _ => Ok(self.values.clone()),
        }
    }

    /// The values, outside candle's graph where [`Self::is_apart`].
    pub(crate) fn values(&self) -> &Tensor {
        &self.values
    }

    /// Whether the gradient is handed over beside candle's graph.
    pub(crate) fn is_apart(&self) -> bool {
        self.node.is_some()
    }

    /// Whether anything before these values gets a gradient.
    pub(crate) fn is_tracked(&self) -> bool {
        self.node.as_ref().map_or(self.values.track_op(), |node| node.handle.track_op())
    }

    /// The same values, which can be made again.
    pub(crate) fn made_again(self, again: Option<Again>) -> Self {
        Self { again: again.map(MadeAgain), ..self }
    }

    /// What an operation keeps of these values, which are `contiguous`.
    pub(crate) fn kept(&self, contiguous: Tensor) -> Kept {
        match &self.again {
            Some(MadeAgain(again)) => Kept::Again(Arc::clone(again)),
            None => Kept::Values(contiguous),
        }
    }

    /// Values that candle's own operations computed.
    pub(crate) fn plain(values: Tensor) -> Self {
        Self { values, node: None, again: None }
    }

    /// `values` as the result of an operation on arguments, with its backward pass.
    pub(crate) fn result(
        values: &Tensor,
        arguments: [Argument<'_>; 3],
        backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut node = Node::first()?;
        let handles = arguments.each_ref().map(|argument| match argument {
            Argument::Hidden(hidden) => hidden.node.as_ref().map(|node| node.handle.clone()),
            Argument::Parameter(tensor) => Some(seen(tensor)),
            Argument::Nothing => None,
        });
        let [a, b, c] = handles.map(|handle| handle.map_or_else(nothing, Ok));
        let before = arguments.map(|argument| match argument {
            Argument::Hidden(hidden) => hidden.node.as_ref().map(|node| node.gradient.clone()),
            _ => None,
        });
        let gradient = node.gradient.clone();
        let operation = Operation { before, gradient, backward: Box::new(backward) };
        node.handle = a?.apply_op3(&b?, &c?, operation)?;
        Ok(Self { values: values.detach(), node: Some(node), again: None })
    }
}

/// What candle's graph knows of hidden values, and of their gradients.
fn nothing() -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, &Device::Cpu)
}

fn handle() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// From a tensor of candle's graph to hidden values.
struct Enter(Gradient);

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(handle())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(hand_over(x, self.0.take()?))
    }
}

/// From hidden values to a tensor of candle's graph.
struct Leave {
    values: Tensor,
    gradient: Gradient,
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = self.values.contiguous()?;
        Ok((open(&x, OP).copy()?, x.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.gradient.add(grad.clone())?;
        nothing().map(Some)
    }
}

/// An operation on hidden values and parameters.
struct Operation {
    /// Where the gradients of hidden arguments go.
    before: [Option<Gradient>; 3],
    /// Where that of the result is.
    gradient: Gradient,
    backward: Backward,
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        OP
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
        Ok(handle())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = (self.backward)(&self.gradient.take()?)?;
        let mut arguments = [a, b, c].into_iter().zip(&self.before).zip(gradients);
        let mut pass = || -> Result<Option<Tensor>> {
            match arguments.next() {
                Some(((argument, before), Some(gradient))) if argument.track_op() => match before {
                    Some(before) => {
                        before.add(gradient)?;
                        // That there is a number makes candle visit the argument.
                        nothing().map(Some)
                    }
                    None => Ok(hand_over(argument, gradient)),
                },
                _ => Ok(None),
            }
        };
        Ok((pass()?, pass()?, pass()?))
    }
}
