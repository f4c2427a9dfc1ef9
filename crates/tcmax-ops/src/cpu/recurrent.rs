//! Recurrent layers in f32: all steps of a few sequences while the weight is in the cache.
//!
//! ```text
//! GRU    forward    h' = n + u (h - n)
//!        backward   dn = dh' (1 - u),  du = dh' (h - n);  through tanh and s to sums;  dh = dh' u + dsums V
//! LSTM   forward    c' = f c + i g,  h' = o tanh(c')
//!        backward   do = dh' tanh(c'),  dc' += dh' o (1 - tanh(c')^2),  di = dc' g,  df = dc' c,  dg = dc' i;
//!                   dc = dc' f;  dh = dsums V
//! ```
//!
//! Sequences do not see each other, so bands of them are tasks. The gradient of the weight is one product over
//! all steps in the end.

use std::slice::{Chunks, ChunksMut};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::exponential::{sigmoid, tanh};
use crate::cpu::linear::{self, bias_gradient, weight_gradient};
use crate::cpu::matmul::padded::{Rows, multiply, padded};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::simd::run;
use crate::recurrence::RecurrentCell;
use crate::tasks::Fork;

/// Sequences of a task: two tiles of the products.
const BAND: usize = 6;
/// Values that are kept of every unit and step: r, u, n and V_n h + c_n of a GRU, all gates of an LSTM.
const KEPT: usize = 4;

/// What is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) cell: RecurrentCell,
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    pub(crate) units: usize,
    /// Whether the last step is the first one.
    pub(crate) backwards: bool,
}

impl Sizes {
    /// Sums of a step.
    fn sums(&self) -> usize {
        self.cell.gates() * self.units
    }

    /// Values of all states.
    pub(crate) fn states(&self) -> usize {
        self.batch * self.steps * self.units
    }

    fn has_cells(&self) -> bool {
        self.cell == RecurrentCell::Lstm
    }

    /// The step that is number `number` in the order in which they are taken.
    fn step(&self, number: usize) -> usize {
        if self.backwards { self.steps - 1 - number } else { number }
    }

    /// Bands of values of which each sequence has `width` at every step.
    fn bands<'a, T>(&self, values: &'a [T], width: usize) -> Chunks<'a, T> {
        values.chunks(BAND * self.steps * width)
    }

    fn bands_mut<'a>(&self, values: &'a mut [f32], width: usize) -> ChunksMut<'a, f32> {
        values.chunks_mut(BAND * self.steps * width)
    }
}

/// The weight as it is read forward, V^T in rows of padded(sums), and the bias.
fn packed(of: Sizes, weight: &[f32]) -> Scratch {
    let stride = padded(of.sums());
    let mut forward = Scratch::new(of.units * stride);
    forward.fill(0.0);
    for (sum, row) in weight.chunks_exact(of.units).enumerate() {
        for (unit, value) in row.iter().enumerate() {
            forward[unit * stride + sum] = *value;
        }
    }
    forward
}

/// The weight as it is read backward, V in rows of padded(units).
fn packed_backward(of: Sizes, weight: &[f32]) -> Scratch {
    let stride = padded(of.units);
    let mut backward = Scratch::new(of.sums() * stride);
    backward.fill(0.0);
    for (to, row) in backward.chunks_exact_mut(stride).zip(weight.chunks_exact(of.units)) {
        to[..of.units].copy_from_slice(row);
    }
    backward
}

/// The states (batch, steps, units), of an LSTM followed by the cells, and what the backward pass needs: the
/// gates (batch, steps, 4 units).
pub(crate) fn forward(
    of: Sizes,
    inputs: &[f32],
    [weight, bias]: [&[f32]; 2],
    there: &[bool],
) -> (Vec<f32>, Scratch) {
    let weight = packed(of, weight);
    let mut states = vec![0.0; of.states() * if of.has_cells() { 2 } else { 1 }];
    let mut gates = Scratch::new(of.states() * KEPT);
    let (h, c) = states.split_at_mut(of.states());
    let mut cells = of.bands_mut(c, of.units);
    let bands: Vec<_> = of
        .bands(inputs, of.sums())
        .zip(of.bands(there, 1))
        .zip(of.bands_mut(h, of.units).zip(of.bands_mut(&mut gates, KEPT * of.units)))
        .map(|((inputs, there), (h, gates))| Forward {
            of,
            weight: &weight,
            bias,
            inputs,
            there,
            h,
            c: cells.next().unwrap_or_default(),
            gates,
        })
        .collect();
    bands.into_par_iter().fork(run);
    (states, gates)
}

/// A band forward.
struct Forward<'a> {
    of: Sizes,
    weight: &'a [f32],
    bias: &'a [f32],
    inputs: &'a [f32],
    there: &'a [bool],
    h: &'a mut [f32],
    c: &'a mut [f32],
    gates: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, weight, bias, inputs, there, h, c, gates } = self;
        let (units, sums, stride) = (of.units, of.sums(), padded(of.sums()));
        let count = there.len() / of.steps;
        let mut last_h = Scratch::new(count * units);
        last_h.fill(0.0);
        let mut last_c = Scratch::new(count * units);
        last_c.fill(0.0);
        let mut mapped = Scratch::new(count * stride);
        for number in 0..of.steps {
            let step = of.step(number);
            let left = Rows { values: &last_h, stride: units, width: units };
            multiply(simd, left, weight, stride, &mut mapped);
            for sequence in 0..count {
                let at = sequence * of.steps + step;
                let state = &mut last_h[sequence * units..][..units];
                let cell = &mut last_c[sequence * units..][..units];
                let gates = &mut gates[at * KEPT * units..][..KEPT * units];
                if there[at] {
                    let input = &inputs[at * sums..][..sums];
                    let mapped = &mapped[sequence * stride..][..sums];
                    match of.cell {
                        RecurrentCell::Gru => gru(input, mapped, bias, state, gates),
                        RecurrentCell::Lstm => lstm(input, mapped, bias, (state, cell), gates),
                    }
                }
                h[at * units..][..units].copy_from_slice(state);
                if of.has_cells() {
                    c[at * units..][..units].copy_from_slice(cell);
                }
            }
        }
    }
}

/// Values of a step cut by gate.
#[inline(always)]
fn by_gate<const N: usize>(values: &[f32], units: usize) -> [&[f32]; N] {
    std::array::from_fn(|gate| &values[gate * units..][..units])
}

#[inline(always)]
fn by_gate_mut<const N: usize>(mut values: &mut [f32], units: usize) -> [&mut [f32]; N] {
    std::array::from_fn(|_| {
        let (gate, rest) = std::mem::take(&mut values).split_at_mut(units);
        values = rest;
        gate
    })
}

#[inline(always)]
fn gru(input: &[f32], mapped: &[f32], bias: &[f32], state: &mut [f32], gates: &mut [f32]) {
    let units = state.len();
    let [x_r, x_u, x_n] = by_gate(input, units);
    let [v_r, v_u, v_n] = by_gate(mapped, units);
    let [b_r, b_u, b_n] = by_gate(bias, units);
    let [reset, update, new, of_state] = by_gate_mut(gates, units);
    for unit in 0..units {
        let r = sigmoid(x_r[unit] + (v_r[unit] + b_r[unit]));
        let u = sigmoid(x_u[unit] + (v_u[unit] + b_u[unit]));
        let v = v_n[unit] + b_n[unit];
        let n = tanh(x_n[unit] + r * v);
        (reset[unit], update[unit], new[unit], of_state[unit]) = (r, u, n, v);
        state[unit] = n + u * (state[unit] - n);
    }
}

#[inline(always)]
fn lstm(
    input: &[f32],
    mapped: &[f32],
    bias: &[f32],
    (state, cell): (&mut [f32], &mut [f32]),
    gates: &mut [f32],
) {
    let units = state.len();
    let [x_i, x_f, x_g, x_o] = by_gate(input, units);
    let [v_i, v_f, v_g, v_o] = by_gate(mapped, units);
    let [b_i, b_f, b_g, b_o] = by_gate(bias, units);
    let [kept_i, kept_f, kept_g, kept_o] = by_gate_mut(gates, units);
    let cell = &mut cell[..units];
    for unit in 0..units {
        let i = sigmoid(x_i[unit] + (v_i[unit] + b_i[unit]));
        let f = sigmoid(x_f[unit] + (v_f[unit] + b_f[unit]));
        let g = tanh(x_g[unit] + (v_g[unit] + b_g[unit]));
        let o = sigmoid(x_o[unit] + (v_o[unit] + b_o[unit]));
        (kept_i[unit], kept_f[unit], kept_g[unit], kept_o[unit]) = (i, f, g, o);
        cell[unit] = f * cell[unit] + i * g;
        state[unit] = o * tanh(cell[unit]);
    }
}

/// The gradients of inputs, weight and bias from those of the states.
pub(crate) fn backward(
    of: Sizes,
    weight: &[f32],
    there: &[bool],
    (states, gates): (&[f32], &[f32]),
    gradient: &[f32],
) -> [Vec<f32>; 3] {
    let weight = packed_backward(of, weight);
    let before = before(of, &states[..of.states()]);
    let (dh, dc) = gradient.split_at(of.states());
    let mut dinputs = vec![0.0; of.batch * of.steps * of.sums()];
    // What reaches V h + c is what reaches the inputs but in the new gate of a GRU.
    let mut dmapped = match of.cell {
        RecurrentCell::Gru => vec![0.0; dinputs.len()],
        RecurrentCell::Lstm => Vec::new(),
    };
    let cells = &states[of.states()..];
    let (mut cells, mut dcells) = (of.bands(cells, of.units), of.bands(dc, of.units));
    let mut mapped = of.bands_mut(&mut dmapped, of.sums());
    let bands: Vec<_> = of
        .bands(there, 1)
        .zip(of.bands(&before, of.units).zip(of.bands(gates, KEPT * of.units)))
        .zip(of.bands(dh, of.units).zip(of.bands_mut(&mut dinputs, of.sums())))
        .map(|((there, (before, gates)), (dh, dinputs))| Backward {
            of,
            weight: &weight,
            there,
            before,
            gates,
            cells: cells.next().unwrap_or_default(),
            dh,
            dc: dcells.next().unwrap_or_default(),
            dinputs,
            dmapped: mapped.next().unwrap_or_default(),
        })
        .collect();
    bands.into_par_iter().fork(run);
    let sums = if of.has_cells() { &dinputs } else { &dmapped };
    let rows = of.batch * of.steps;
    let (stride, columns) = (of.units, 0..of.units);
    let sizes = linear::Sizes { rows, outputs: of.sums(), stride, columns };
    let dweight = weight_gradient(&sizes, sums, &before);
    let dbias = bias_gradient(&sizes, sums);
    [dinputs, dweight, dbias]
}

/// The state before every step, (batch, steps, units).
fn before(of: Sizes, states: &[f32]) -> Scratch {
    let mut before = Scratch::new(of.states());
    let width = of.steps * of.units;
    for (before, states) in before.chunks_exact_mut(width).zip(states.chunks_exact(width)) {
        let rest = width - of.units;
        if of.backwards {
            before[..rest].copy_from_slice(&states[of.units..]);
            before[rest..].fill(0.0);
        } else {
            before[..of.units].fill(0.0);
            before[of.units..].copy_from_slice(&states[..rest]);
        }
    }
    before
}

/// A band backward.
struct Backward<'a> {
    of: Sizes,
    weight: &'a [f32],
    there: &'a [bool],
    before: &'a [f32],
    gates: &'a [f32],
    cells: &'a [f32],
    dh: &'a [f32],
    dc: &'a [f32],
    dinputs: &'a mut [f32],
    dmapped: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, weight, there, before, gates, cells, dh, dc, dinputs, dmapped } = self;
        let (units, sums, stride) = (of.units, of.sums(), padded(of.units));
        let count = there.len() / of.steps;
        let zeros = |len: usize| {
            let mut scratch = Scratch::new(len);
            scratch.fill(0.0);
            scratch
        };
        // The gradients of the states after the step at hand, and of what the product takes back to `dstate`.
        let (mut dstate, mut dcell) = (zeros(count * units), zeros(count * units));
        let (mut taken, mut back) = (zeros(count * sums), zeros(count * stride));
        for number in (0..of.steps).rev() {
            let step = of.step(number);
            for sequence in 0..count {
                let at = sequence * of.steps + step;
                let state = sequence * units..(sequence + 1) * units;
                let dstate = &mut dstate[state.clone()];
                let dcell = &mut dcell[state];
                add(dstate, &dh[at * units..][..units]);
                if of.has_cells() {
                    add(dcell, &dc[at * units..][..units]);
                }
                let taken = &mut taken[sequence * sums..][..sums];
                if !there[at] {
                    taken.fill(0.0);
                    continue;
                }
                let gates = &gates[at * KEPT * units..][..KEPT * units];
                let dinputs = &mut dinputs[at * sums..][..sums];
                if of.has_cells() {
                    let cell = &cells[at * units..][..units];
                    // No cell before the first step.
                    let earlier = match number {
                        0 => None,
                        _ => Some(&cells[(sequence * of.steps + of.step(number - 1)) * units..]),
                    };
                    lstm_gradients(gates, (cell, earlier), (dstate, dcell), dinputs);
                    taken.copy_from_slice(dinputs);
                } else {
                    let before = &before[at * units..][..units];
                    let dmapped = &mut dmapped[at * sums..][..sums];
                    gru_gradients(gates, before, dstate, dinputs, dmapped);
                    taken.copy_from_slice(dmapped);
                }
            }
            if number > 0 {
                let left = Rows { values: &taken, stride: sums, width: sums };
                multiply(simd, left, weight, stride, &mut back);
                for (dstate, back) in dstate.chunks_exact_mut(units).zip(back.chunks_exact(stride))
                {
                    add(dstate, &back[..units]);
                }
            }
        }
    }
}

#[inline(always)]
fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += *value;
    }
}

/// Writes the gradients of a step's sums, and leaves in `dh` what reaches the state before it directly.
#[inline(always)]
fn gru_gradients(
    gates: &[f32],
    before: &[f32],
    dh: &mut [f32],
    dinputs: &mut [f32],
    dmapped: &mut [f32],
) {
    let units = dh.len();
    let [reset, update, new, of_state] = by_gate(gates, units);
    let [dx_r, dx_u, dx_n] = by_gate_mut(dinputs, units);
    let [dv_r, dv_u, dv_n] = by_gate_mut(dmapped, units);
    let before = &before[..units];
    for unit in 0..units {
        let (r, u, n) = (reset[unit], update[unit], new[unit]);
        let dn = dh[unit] * (1.0 - u) * (1.0 - n * n);
        let du = dh[unit] * (before[unit] - n) * (u * (1.0 - u));
        let dr = dn * of_state[unit] * (r * (1.0 - r));
        (dx_r[unit], dx_u[unit], dx_n[unit]) = (dr, du, dn);
        (dv_r[unit], dv_u[unit], dv_n[unit]) = (dr, du, dn * r);
        dh[unit] *= u;
    }
}

/// Writes the gradients of a step's sums, and leaves in `dc` and `dh` what reaches the cell and the state before
/// it directly: nothing of the state.
#[inline(always)]
fn lstm_gradients(
    gates: &[f32],
    (cell, earlier): (&[f32], Option<&[f32]>),
    (dh, dc): (&mut [f32], &mut [f32]),
    dinputs: &mut [f32],
) {
    let units = dh.len();
    let [kept_i, kept_f, kept_g, kept_o] = by_gate(gates, units);
    let [d_i, d_f, d_g, d_o] = by_gate_mut(dinputs, units);
    let (cell, dc) = (&cell[..units], &mut dc[..units]);
    match earlier {
        Some(earlier) => d_f.copy_from_slice(&earlier[..units]),
        None => d_f.fill(0.0),
    }
    for unit in 0..units {
        let (i, f, g, o) = (kept_i[unit], kept_f[unit], kept_g[unit], kept_o[unit]);
        let squashed = tanh(cell[unit]);
        let through = dc[unit] + dh[unit] * o * (1.0 - squashed * squashed);
        d_i[unit] = through * g * (i * (1.0 - i));
        d_f[unit] *= through * (f * (1.0 - f));
        d_g[unit] = through * i * (1.0 - g * g);
        d_o[unit] = dh[unit] * squashed * (o * (1.0 - o));
        dc[unit] = through * f;
        dh[unit] = 0.0;
    }
}
