//! A multilayer perceptron on feature vectors.
//!
//! ```text
//! h_0 = norm(x)                          batch norm over the features
//! h_l = relu(W_l h_{l-1} + b_l)          l = 1..L; the last is the feature vector
//! ```
//!
//! The norm removes the scale of features whose standard deviation is much larger than the root of its
//! epsilon, 0.003. Smaller features are to be standardised first.
//!
//! Layers start as PyTorch's linear layers do: uniform within 1 / sqrt(fan-in). Names are those of an
//! `nn.Sequential` of `norm` and `layers`: `norm.weight`, `layers.0.weight`, ...

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_onnx::{Graph, Value};
use tcmax_ops::{BatchNorm2d, BatchNormConfig, Linear, ParamBuilder, relu};
use tcmax_registry::{OptionSet, Options, read, require};

use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::spec::{EncoderSpec, InputKind};

/// The specification of the perceptron.
pub static MLP: EncoderSpec = EncoderSpec {
    name: "mlp",
    description: "a multilayer perceptron on vectors",
    source: "",
    inputs: &[InputKind::Vector],
    options: Options::of::<MlpOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let MlpOptions { widths } = read(options)?;
        let inputs = input.shape.iter().product();
        Ok(Box::new(Mlp::new(&MlpConfig { inputs, widths }, builder)?))
    },
};

/// Options of the perceptron.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MlpOptions {
    /// Units of each layer, 1 to 16384; the last is the number of features.
    pub widths: Vec<usize>,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self { widths: vec![128, 128] }
    }
}

/// Most units of a layer.
const WIDEST: usize = 16_384;
/// Most layers.
const MOST_LAYERS: usize = 64;

impl OptionSet for MlpOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let layers = (1..=MOST_LAYERS).contains(&self.widths.len());
        require(layers, "widths", &format!("must be 1 to {MOST_LAYERS} widths"))?;
        let fits = self.widths.iter().all(|width| (1..=WIDEST).contains(width));
        require(fits, "widths", &format!("must be 1 to {WIDEST}"))
    }
}

/// The layout of an [`Mlp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Numbers in one input.
    pub inputs: usize,
    /// Units of each layer; those of the last are the features.
    pub widths: Vec<usize>,
}

/// A multilayer perceptron on inputs (B, ...) whose other dimensions are flattened.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_encoders::{Encoder, Mlp, MlpConfig};
/// use tcmax_ops::{ParamBuilder, Seed};
///
/// # fn main() -> tcmax_encoders::Result<()> {
/// let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
/// let encoder = Mlp::new(&MlpConfig { inputs: 20, widths: vec![64, 32] }, &builder)?;
/// let features = encoder.encode(&Tensor::ones((4, 20), DType::F32, &Device::Cpu)?, false)?;
/// assert_eq!(features.dims(), [4, 32]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    config: MlpConfig,
    norm: BatchNorm2d,
    layers: Vec<Linear>,
}

impl Mlp {
    /// A new network; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a width is 0, there is no layer, or a parameter name is taken.
    pub fn new(config: &MlpConfig, builder: &ParamBuilder) -> Result<Self> {
        let zero = |field| Err(Error::Zero { encoder: "Mlp", field });
        if config.inputs == 0 {
            return zero("the number of inputs");
        }
        if config.widths.is_empty() || config.widths.contains(&0) {
            return zero("the number of layers and every layer's width");
        }
        let norm =
            BatchNorm2d::new(&builder.pp("norm"), config.inputs, BatchNormConfig::default())?;
        let mut from = config.inputs;
        let mut layers = Vec::with_capacity(config.widths.len());
        for (number, &width) in config.widths.iter().enumerate() {
            layers.push(Linear::new(from, width, &builder.pp("layers").pp(number))?);
            from = width;
        }
        Ok(Self { config: config.clone(), norm, layers })
    }
}

impl Encoder for Mlp {
    fn encode(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let inputs = self.config.inputs;
        let batch = input.dims().first().copied().unwrap_or(0);
        if batch == 0 || input.elem_count() != batch * inputs {
            return Err(Error::WrongShape {
                encoder: "Mlp",
                got: input.dims().to_vec(),
                wanted: format!("[batch, ...] with {inputs} numbers per example"),
            });
        }
        // Channels last: a feature is a channel of an image of one pixel.
        let pixels = input.reshape((batch, 1, 1, inputs))?;
        let mut x = self.norm.forward(&pixels, train)?.reshape((batch, inputs))?;
        for layer in &self.layers {
            x = relu(&layer.forward(&x)?)?;
        }
        Ok(x)
    }

    fn to_onnx(&self, graph: &mut Graph, input: &Value, _: &[usize]) -> tcmax_onnx::Result<Value> {
        let rows = graph.reshape(input, &[-1, self.config.inputs as i64]);
        let mut x = graph.batch_norm("norm", &rows, BatchNormConfig::default().eps)?;
        for layer in 0..self.layers.len() {
            let sums = graph.linear(&format!("layers.{layer}"), &x)?;
            x = graph.relu(&sums);
        }
        Ok(x)
    }

    fn feature_width(&self) -> usize {
        self.config.widths.last().copied().unwrap_or(self.config.inputs)
    }
}
