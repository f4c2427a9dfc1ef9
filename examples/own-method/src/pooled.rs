//! Pictures and spectrograms pooled to 4 x 4 cells, and a linear layer on them.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_encoders::{Encoder, EncoderSpec, InputKind, Result};
use tcmax_ops::{Linear, relu};
use tcmax_registry::{OptionSet, Options, read, require};

/// The specification of the pooled encoder.
pub static POOLED: EncoderSpec = EncoderSpec {
    name: "pooled",
    description: "means of 4 x 4 cells and a linear layer",
    source: "",
    inputs: &[InputKind::Image, InputKind::Spectrogram],
    options: Options::of::<PooledOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let PooledOptions { features } = read(options)?;
        let inputs = input.shape[0] * CELLS * CELLS;
        Ok(Box::new(Pooled { layer: Linear::new(inputs, features, builder)? }))
    },
};

/// Cells along each side.
const CELLS: usize = 4;

/// Options of the pooled encoder.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct PooledOptions {
    /// Features, at least 1.
    features: usize,
}

impl Default for PooledOptions {
    fn default() -> Self {
        Self { features: 32 }
    }
}

impl OptionSet for PooledOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.features > 0, "features", "must be at least 1")
    }
}

struct Pooled {
    layer: Linear,
}

impl Encoder for Pooled {
    fn encode(&self, input: &Tensor, _train: bool) -> Result<Tensor> {
        let (batch, channels, height, width) = input.dims4()?;
        let (rows, columns) = (height / CELLS, width / CELLS);
        let whole = input.narrow(2, 0, rows * CELLS)?.narrow(3, 0, columns * CELLS)?;
        let cells =
            whole.contiguous()?.reshape(&[batch, channels, CELLS, rows, CELLS, columns][..])?;
        let cells = cells.mean(5)?.mean(3)?.reshape((batch, channels * CELLS * CELLS))?;
        Ok(relu(&self.layer.forward(&cells)?)?)
    }

    fn feature_width(&self) -> usize {
        self.layer.outputs()
    }
}
