//! Recurrent layers, step by step.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

use crate::composed::linear::linear;
use crate::recurrence::RecurrentCell;

/// The states (B, T, U) of a GRU, and states and cells (2, B, T, U) of an LSTM.
pub(crate) fn recurrent(
    cell: RecurrentCell,
    inputs: &Tensor,
    [weight, bias]: [&Tensor; 2],
    there: &Tensor,
    backwards: bool,
) -> Result<Tensor> {
    let (batch, length, _) = inputs.dims3()?;
    let units = weight.dim(1)?;
    let mut h = Tensor::zeros((batch, units), inputs.dtype(), inputs.device())?;
    let mut c = h.clone();
    let (mut states, mut cells) = (Vec::with_capacity(length), Vec::new());
    for step in 0..length {
        let at = if backwards { length - 1 - step } else { step };
        let input = inputs.narrow(1, at, 1)?.squeeze(1)?;
        let flag = there.narrow(1, at, 1)?;
        let state = linear(&h, weight, bias)?;
        match cell {
            RecurrentCell::Gru => h = kept(&h, &gru(&input, &state, &h, units)?, &flag)?,
            RecurrentCell::Lstm => {
                let (new_h, new_c) = lstm(&(input + state)?, &c, units)?;
                h = kept(&h, &new_h, &flag)?;
                c = kept(&c, &new_c, &flag)?;
                cells.push(c.clone());
            }
        }
        states.push(h.clone());
    }
    if backwards {
        states.reverse();
        cells.reverse();
    }
    let states = Tensor::stack(&states, 1)?;
    match cell {
        RecurrentCell::Gru => Ok(states),
        RecurrentCell::Lstm => Tensor::stack(&[states, Tensor::stack(&cells, 1)?], 0),
    }
}

/// The columns of gate `number`.
fn gate(sums: &Tensor, number: usize, units: usize) -> Result<Tensor> {
    sums.narrow(1, number * units, units)?.contiguous()
}

fn gru(input: &Tensor, state: &Tensor, h: &Tensor, units: usize) -> Result<Tensor> {
    let sum = |number: usize| gate(input, number, units)? + gate(state, number, units)?;
    let (reset, update) = (sigmoid(&sum(0)?)?, sigmoid(&sum(1)?)?);
    let new = (gate(input, 2, units)? + (reset * gate(state, 2, units)?)?)?.tanh()?;
    &new + (update * (h - &new)?)?
}

fn lstm(sums: &Tensor, c: &Tensor, units: usize) -> Result<(Tensor, Tensor)> {
    let open = |number: usize| sigmoid(&gate(sums, number, units)?);
    let new = (open(0)? * gate(sums, 2, units)?.tanh()?)?;
    let c = ((open(1)? * c)? + new)?;
    Ok(((open(3)? * c.tanh()?)?, c))
}

/// The new state where the step is there, the old one where not.
fn kept(old: &Tensor, new: &Tensor, there: &Tensor) -> Result<Tensor> {
    old + (new - old)?.broadcast_mul(there)?
}
