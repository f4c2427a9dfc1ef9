//! A multilayer perceptron as one operation of candle's graph.
//!
//! ```text
//! h_0 = x;  h_l = a(h_(l-1) W_l^T + b_l) for l < L;  y = h_(L-1) W_L^T + b_L
//! ```
//!
//! Layers of a few dozen units are small. As separate operations they spend most of their time on the
//! memory between them; here all layers of some rows are computed while the rows are in the cache.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::activation::Activation;
use crate::composed;
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::perceptron::{Layer, Network};
use crate::cpu::storage::{open, tensor_of, values};
use crate::graph::packed::PackedParameters;
use crate::ops::linear::Linear;
use crate::precision::{is_half, preserving};
use crate::reading::seen;

const OP: &str = "perceptron";

/// The perceptron with `layers` on `x` (N, in): (N, out).
///
/// On a CPU f32 runs through one kernel; everything else is composed of candle operations.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{Activation, Linear, perceptron};
///
/// # fn main() -> candle_core::Result<()> {
/// let device = Device::Cpu;
/// // |x| = relu(x) + relu(-x).
/// let first = [Tensor::new(&[[1f32], [-1.0]], &device)?, Tensor::new(&[0f32, 0.0], &device)?];
/// let second = [Tensor::new(&[[1f32, 1.0]], &device)?, Tensor::new(&[0f32], &device)?];
/// let [first, second] = [first, second].map(|[weight, bias]| Linear::from_tensors(weight, bias));
/// let x = Tensor::new(&[[-3f32], [2.0]], &device)?;
/// let y = perceptron(&x, &[first?, second?], Activation::Relu)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[3.0], [2.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is no layer, one is empty, or shapes or element types do not fit.
pub fn perceptron(x: &Tensor, layers: &[Linear], activation: Activation) -> Result<Tensor> {
    let x = &seen(x);
    let (rows, mut width) = x.dims2()?;
    if layers.is_empty() {
        bail!("{OP}: there is no layer");
    }
    if is_half(x) {
        return layer_by_layer(x, layers, activation);
    }
    for (number, layer) in layers.iter().enumerate() {
        let (weight, bias) = (layer.weight(), layer.bias());
        let (to, from) = weight.dims2()?;
        let fits = from == width && from > 0 && to > 0 && bias.dims() == [to];
        if !fits || [weight.dtype(), bias.dtype()] != [x.dtype(); 2] {
            bail!(
                "{OP}: layer {} has weight {:?} and bias {:?} for {width} inputs of {:?}",
                number + 1,
                weight.shape(),
                bias.shape(),
                x.dtype()
            );
        }
        width = to;
    }
    if !x.device().is_cpu() || x.dtype() != DType::F32 || rows == 0 {
        let layers = layers.iter().map(|layer| [seen(layer.weight()), seen(layer.bias())]);
        let layers: Vec<_> = layers.collect();
        let layers: Vec<_> = layers.iter().map(<[Tensor; 2]>::each_ref).collect();
        return composed::perceptron::perceptron(x, &layers, activation);
    }
    let parameters: Vec<Tensor> = layers.iter().flat_map(Linear::parameters).collect();
    let parameters = PackedParameters::new(&parameters)?;
    let handle = parameters.handle().clone();
    let op = Perceptron { parameters, activation, outputs: width, saved: Arc::default() };
    x.contiguous()?.apply_op2(&handle, op)
}

/// The same with values between the layers that are rounded.
fn layer_by_layer(x: &Tensor, layers: &[Linear], activation: Activation) -> Result<Tensor> {
    let mut x = x.clone();
    for (number, layer) in layers.iter().enumerate() {
        x = layer.forward(&x)?;
        if number + 1 < layers.len() {
            x = preserving(&x, |x| composed::perceptron::apply(activation, x))?;
        }
    }
    Ok(x)
}

struct Perceptron {
    /// Weight and bias of each layer in turn.
    parameters: PackedParameters,
    activation: Activation,
    outputs: usize,
    /// What the forward pass leaves for the backward pass.
    saved: Arc<OnceLock<Saved>>,
}

struct Saved {
    network: Network,
    hidden: Vec<Scratch>,
}

impl Perceptron {
    /// The parameters packed.
    fn network(&self) -> Result<Network> {
        self.parameters.read(OP, |values: &[&[f32]]| {
            let layers = values.chunks_exact(2).map(|pair| {
                let to = pair[1].len();
                Layer { weight: pair[0], bias: pair[1], from: pair[0].len() / to, to }
            });
            Ok(Network::new(&layers.collect::<Vec<_>>(), self.activation))
        })
    }
}

impl CustomOp2 for Perceptron {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let network = self.network()?;
        let (y, hidden) = network.forward(values::<f32>(x, layout, OP)?);
        let shape = Shape::from((y.len() / self.outputs, self.outputs));
        // Set once, because an operation is applied once.
        let _ = self.saved.set(Saved { network, hidden });
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(Saved { network, hidden }) = self.saved.get() else {
            bail!("{OP}: backward before forward")
        };
        let gradient = gradient.contiguous()?;
        let (opened, gradient) = (open(x, OP), open(&gradient, OP));
        let (layers, dx) =
            network.backward(opened.values()?, hidden, gradient.values()?, x.track_op());
        let gradients = layers.into_iter().flat_map(|(weight, bias)| [weight, bias]);
        let tensors = gradients.zip(self.parameters.tensors());
        let tensors =
            tensors.map(|(values, like)| tensor_of(CpuStorage::F32(values), like).map(Some));
        let handle = self.parameters.set_gradients(tensors.collect::<Result<Vec<_>>>()?)?;
        let dx = dx.map(|dx| tensor_of(CpuStorage::F32(dx), x)).transpose()?;
        Ok((dx, handle))
    }
}
