//! GRU (Cho et al. 2014) and LSTM (Hochreiter and Schmidhuber 1997), as PyTorch's `nn.GRU` and `nn.LSTM`.
//!
//! A step that is not there leaves the state as it is, so a direction that runs backwards starts at the last
//! step that is. Parameter names are PyTorch's (`weight_ih_l0_reverse`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Init, Linear, ParamBuilder, RecurrentCell, RecurrentStates, recurrent};
use tcmax_registry::{OptionSet, Options, read, require};

use super::steps::{Steps, features_of};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::spec::{EncoderSpec, InputKind};
use crate::text::pooling::mean_of_there;

/// The specification of the GRU.
pub static GRU: EncoderSpec = EncoderSpec {
    name: "gru",
    description: "a gated recurrent network on sequences",
    source: "Cho et al., EMNLP 2014",
    inputs: &[InputKind::Sequence],
    options: Options::of::<RecurrentOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let features = features_of("gru", input)?;
        Ok(Box::new(Recurrent::new(RecurrentCell::Gru, &read(options)?, features, builder)?))
    },
};

/// The specification of the LSTM.
pub static LSTM: EncoderSpec = EncoderSpec {
    name: "lstm",
    description: "a long short-term memory on sequences",
    source: "Hochreiter and Schmidhuber, Neural Computation 1997",
    inputs: &[InputKind::Sequence],
    options: Options::of::<RecurrentOptions>(),
    pretrained: None,
    make: |options, input, builder| {
        let features = features_of("lstm", input)?;
        Ok(Box::new(Recurrent::new(RecurrentCell::Lstm, &read(options)?, features, builder)?))
    },
};

/// What the features of a sequence are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecurrentPooling {
    /// The mean over its steps.
    Mean,
    /// The last state of every direction of the last layer.
    Last,
}

/// Options of recurrent networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecurrentOptions {
    /// Units of a direction, 1 to 16384.
    pub units: usize,
    /// Layers, 1 to 64.
    pub layers: usize,
    /// Run backwards too; there are twice as many features then.
    pub bidirectional: bool,
    /// What the features of a sequence are.
    pub pooling: RecurrentPooling,
}

impl Default for RecurrentOptions {
    fn default() -> Self {
        Self { units: 128, layers: 1, bidirectional: true, pooling: RecurrentPooling::Mean }
    }
}

impl OptionSet for RecurrentOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require((1..=16_384).contains(&self.units), "units", "must be 1 to 16384")?;
        require((1..=64).contains(&self.layers), "layers", "must be 1 to 64")
    }
}

const fn name_of(cell: RecurrentCell) -> &'static str {
    match cell {
        RecurrentCell::Gru => "GRU",
        RecurrentCell::Lstm => "LSTM",
    }
}

/// A recurrent network on sequences (B, T, D + 1).
#[derive(Clone, Debug)]
pub struct Recurrent {
    cell: RecurrentCell,
    options: RecurrentOptions,
    features: usize,
    /// Layer by layer, each forwards and, where there is one, backwards.
    layers: Vec<Vec<Direction>>,
}

/// The states at the end of every direction, in PyTorch's order.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// The last layer's states (B, T, units * directions), zeros where a step is not there.
    pub steps: Tensor,
    /// h of every layer and direction, (layers * directions, B, units).
    pub last: Tensor,
    /// c of the same, of an LSTM.
    pub cells: Option<Tensor>,
}

impl Recurrent {
    /// A new network on so many features; its parameters go into `builder`'s store.
    ///
    /// # Errors
    /// When a size is 0 or a parameter name is taken.
    pub fn new(
        cell: RecurrentCell,
        options: &RecurrentOptions,
        features: usize,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        for (field, size) in
            [("units", options.units), ("layers", options.layers), ("features", features)]
        {
            if size == 0 {
                return Err(Error::Zero { encoder: name_of(cell), field });
            }
        }
        let suffixes: &[&str] = if options.bidirectional { &["", "_reverse"] } else { &[""] };
        let mut from = features;
        let mut layers = Vec::with_capacity(options.layers);
        for number in 0..options.layers {
            let direction = |suffix: &&str| {
                Direction::new(cell, [from, options.units], &format!("l{number}{suffix}"), builder)
            };
            layers.push(suffixes.iter().map(direction).collect::<Result<Vec<_>>>()?);
            from = options.units * suffixes.len();
        }
        Ok(Self { cell, options: *options, features, layers })
    }

    /// All states of sequences.
    ///
    /// # Errors
    /// When the steps have another number of features.
    pub fn run(&self, steps: &Steps) -> Result<Outputs> {
        let mut steps = steps.clone();
        let (mut last, mut cells) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let mut sides = Vec::with_capacity(layer.len());
            for (number, direction) in layer.iter().enumerate() {
                let states = direction.run(self.cell, &steps, number == 1)?;
                last.push(states.last()?);
                cells.extend(states.last_cells()?);
                sides.push(states.steps);
            }
            steps.x = Tensor::cat(&sides, 2)?;
        }
        let cells = (!cells.is_empty()).then(|| Tensor::stack(&cells, 0)).transpose()?;
        Ok(Outputs { steps: steps.masked(&steps.x)?, last: Tensor::stack(&last, 0)?, cells })
    }
}

impl Encoder for Recurrent {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        let steps = Steps::read(name_of(self.cell), input, self.features)?;
        let outputs = self.run(&steps)?;
        match self.options.pooling {
            RecurrentPooling::Mean => mean_of_there(&outputs.steps, &steps.there),
            RecurrentPooling::Last => {
                let all = outputs.last.dim(0)?;
                let directions = if self.options.bidirectional { 2 } else { 1 };
                let states = (all - directions..all).map(|which| outputs.last.get(which));
                Ok(Tensor::cat(&states.collect::<candle_core::Result<Vec<_>>>()?, 1)?)
            }
        }
    }

    fn feature_width(&self) -> usize {
        self.options.units * if self.options.bidirectional { 2 } else { 1 }
    }
}

/// One direction of one layer.
#[derive(Clone, Debug)]
struct Direction {
    input: Linear,
    state: Linear,
}

impl Direction {
    fn new(
        cell: RecurrentCell,
        [from, units]: [usize; 2],
        suffix: &str,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        let start = Init::Uniform { bound: 1.0 / (units as f64).sqrt() };
        let rows = cell.gates() * units;
        let layer = |side: &str, columns: usize| -> Result<Linear> {
            let weight =
                builder.param(&format!("weight_{side}_{suffix}"), (rows, columns), start)?;
            let bias = builder.param(&format!("bias_{side}_{suffix}"), rows, start)?;
            Ok(Linear::from_tensors(weight, bias)?)
        };
        Ok(Self { input: layer("ih", from)?, state: layer("hh", units)? })
    }

    fn run(&self, cell: RecurrentCell, steps: &Steps, backwards: bool) -> Result<RecurrentStates> {
        // All inputs at once; only the states have to wait for each other.
        let inputs = self.input.forward(&steps.x)?;
        Ok(recurrent(cell, &inputs, &self.state, &steps.there, backwards)?)
    }
}
