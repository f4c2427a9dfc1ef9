//! GRU (Cho et al. 2014) and LSTM (Hochreiter and Schmidhuber 1997), as PyTorch's `nn.GRU` and `nn.LSTM`.
//!
//! ```text
//! GRU:   r, u = s(W x + b + V h + c);  n = tanh(W_n x + b_n + r (V_n h + c_n));  h = (1 - u) n + u h
//! LSTM:  i, f, o = s(W x + b + V h + c);  g = tanh(...);  c = f c + i g;  h = o tanh(c)
//! ```
//!
//! A step that is not there leaves the state as it is, so a direction that runs backwards starts at the last
//! step that is. Parameter names are PyTorch's (`weight_ih_l0_reverse`).

use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_ops::{Init, Linear, ParamBuilder};
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
        Ok(Box::new(Recurrent::new(Cell::Gru, &read(options)?, features, builder)?))
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
        Ok(Box::new(Recurrent::new(Cell::Lstm, &read(options)?, features, builder)?))
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

/// Which recurrent network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// The gated recurrent unit.
    Gru,
    /// The long short-term memory.
    Lstm,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
        }
    }
}

/// A recurrent network on sequences (B, T, D + 1).
#[derive(Clone, Debug)]
pub struct Recurrent {
    cell: Cell,
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
        cell: Cell,
        options: &RecurrentOptions,
        features: usize,
        builder: &ParamBuilder,
    ) -> Result<Self> {
        for (field, size) in
            [("units", options.units), ("layers", options.layers), ("features", features)]
        {
            if size == 0 {
                return Err(Error::Zero { encoder: cell.name(), field });
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
        let mut x = steps.x.clone();
        let (mut last, mut cells) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let mut sides = Vec::with_capacity(layer.len());
            for (number, direction) in layer.iter().enumerate() {
                let states = direction.run(self.cell, &x, &steps.there, number == 1)?;
                sides.push(states.steps);
                last.push(states.h);
                cells.extend(states.c);
            }
            x = Tensor::cat(&sides, 2)?;
        }
        let cells = (!cells.is_empty()).then(|| Tensor::stack(&cells, 0)).transpose()?;
        Ok(Outputs { steps: steps.masked(&x)?, last: Tensor::stack(&last, 0)?, cells })
    }
}

impl Encoder for Recurrent {
    fn encode(&self, input: &Tensor, _: bool) -> Result<Tensor> {
        let steps = Steps::read(self.cell.name(), input, self.features)?;
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
    units: usize,
}

struct States {
    /// (B, T, units).
    steps: Tensor,
    h: Tensor,
    c: Option<Tensor>,
}

impl Direction {
    fn new(
        cell: Cell,
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
        Ok(Self { input: layer("ih", from)?, state: layer("hh", units)?, units })
    }

    fn run(&self, cell: Cell, x: &Tensor, there: &Tensor, backwards: bool) -> Result<States> {
        let (batch, length, _) = x.dims3()?;
        // All inputs at once; only the states have to wait for each other.
        let inputs = self.input.forward(x)?;
        let mut h = Tensor::zeros((batch, self.units), x.dtype(), x.device())?;
        let mut c = h.clone();
        let mut states = Vec::with_capacity(length);
        for step in 0..length {
            let at = if backwards { length - 1 - step } else { step };
            let input = inputs.narrow(1, at, 1)?.squeeze(1)?;
            let (new_h, new_c) = match cell {
                Cell::Gru => (self.gru(&input, &h)?, None),
                Cell::Lstm => self.lstm(&input, &h, &c).map(|(h, c)| (h, Some(c)))?,
            };
            let flag = there.narrow(1, at, 1)?;
            h = kept(&h, &new_h, &flag)?;
            if let Some(new_c) = new_c {
                c = kept(&c, &new_c, &flag)?;
            }
            states.push(h.clone());
        }
        if backwards {
            states.reverse();
        }
        let c = (cell == Cell::Lstm).then_some(c);
        Ok(States { steps: Tensor::stack(&states, 1)?, h, c })
    }

    /// The columns of gate `number`.
    fn gate(&self, sums: &Tensor, number: usize) -> candle_core::Result<Tensor> {
        sums.narrow(1, number * self.units, self.units)?.contiguous()
    }

    fn gru(&self, input: &Tensor, h: &Tensor) -> Result<Tensor> {
        let state = self.state.forward(h)?;
        let sum = |number: usize| self.gate(input, number)? + self.gate(&state, number)?;
        let (reset, update) = (sigmoid(&sum(0)?)?, sigmoid(&sum(1)?)?);
        let new = (self.gate(input, 2)? + (reset * self.gate(&state, 2)?)?)?.tanh()?;
        Ok((&new + (update * (h - &new)?)?)?)
    }

    fn lstm(&self, input: &Tensor, h: &Tensor, c: &Tensor) -> Result<(Tensor, Tensor)> {
        let sums = (input + self.state.forward(h)?)?;
        let gate = |number: usize| sigmoid(&self.gate(&sums, number)?);
        let new = (gate(0)? * self.gate(&sums, 2)?.tanh()?)?;
        let c = ((gate(1)? * c)? + new)?;
        Ok(((gate(3)? * c.tanh()?)?, c))
    }
}

/// The new state where the step is there, the old one where not.
fn kept(old: &Tensor, new: &Tensor, there: &Tensor) -> Result<Tensor> {
    Ok((old + (new - old)?.broadcast_mul(there)?)?)
}
