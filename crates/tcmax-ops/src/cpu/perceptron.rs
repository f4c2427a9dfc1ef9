//! Multilayer perceptrons in f32: all layers of a band of rows while they are in the cache.
//!
//! ```text
//! forward    z_l = h_(l-1) W_l^T + b_l;  h_l = a(z_l), and h_L = z_L
//! backward   dW_l = dz_l^T h_(l-1);  db_l = sum dz_l;  dz_(l-1) = (dz_l W_l) a'(z_(l-1))
//! ```
//!
//! The hidden activations are kept for the backward pass. Rows are cut into sections by their number
//! alone, and the gradients of sections are added in order.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::activation::Activation;
use crate::cpu::matmul::padded::{Rows, add_transposed, dot, multiply, padded};
use crate::cpu::matmul::scratch::Scratch;
use crate::cpu::relu::relu;
use crate::cpu::simd::run;
use crate::tasks::Fork;

/// Rows of one task.
const SECTION: usize = 512;
/// Rows that pass through all layers together.
const BAND: usize = 64;
/// Outputs up to which a last layer is dot products, not panels.
const NARROW: usize = 4;

/// One layer as its parameters are laid out.
pub(crate) struct Layer<'a> {
    /// (to, from), row by row.
    pub(crate) weight: &'a [f32],
    /// (to,).
    pub(crate) bias: &'a [f32],
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// A layer laid out for products.
struct Packed {
    from: usize,
    to: usize,
    /// W^T: `from` rows of padded(to).
    forward: Scratch,
    /// W: `to` rows of padded(from).
    backward: Scratch,
    /// padded(to).
    bias: Scratch,
}

impl Packed {
    fn new(layer: &Layer<'_>) -> Self {
        let (from, to) = (layer.from, layer.to);
        let (into_stride, from_stride) = (padded(to), padded(from));
        let mut forward = zeros(from * into_stride);
        let mut backward = zeros(to * from_stride);
        let mut bias = zeros(into_stride);
        bias[..to].copy_from_slice(layer.bias);
        for (o, row) in layer.weight.chunks_exact(from).enumerate() {
            backward[o * from_stride..][..from].copy_from_slice(row);
            for (i, value) in row.iter().enumerate() {
                forward[i * into_stride + o] = *value;
            }
        }
        Self { from, to, forward, backward, bias }
    }

    /// The distance between rows of this layer's output.
    fn stride(&self) -> usize {
        padded(self.to)
    }
}

fn zeros(len: usize) -> Scratch {
    let mut scratch = Scratch::new(len);
    scratch.fill(0.0);
    scratch
}

/// A perceptron ready to compute.
pub(crate) struct Network {
    layers: Vec<Packed>,
    activation: Activation,
}

/// The gradients of one layer: weight (to, from) and bias (to,).
pub(crate) type LayerGradient = (Vec<f32>, Vec<f32>);

impl Network {
    /// # Panics
    /// When there is no layer, or sizes do not fit.
    pub(crate) fn new(layers: &[Layer<'_>], activation: Activation) -> Self {
        assert!(layers.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert!(layers.iter().all(|l| l.weight.len() == l.from * l.to && l.bias.len() == l.to));
        let layers: Vec<Packed> = layers.iter().map(Packed::new).collect();
        assert!(layers.iter().all(|l| l.from > 0 && l.to > 0) && !layers.is_empty());
        Self { layers, activation }
    }

    fn inputs(&self) -> usize {
        self.layers[0].from
    }

    #[inline(always)]
    fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].to
    }

    /// Whether layer `l` is the last of several and so narrow that its products go row by row.
    #[inline(always)]
    fn is_narrow(&self, l: usize) -> bool {
        l > 0 && l + 1 == self.layers.len() && self.outputs() <= NARROW
    }

    /// The outputs (N, to) of `x` (N, from), and the activations of every hidden layer, rows padded.
    pub(crate) fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<Scratch>) {
        let rows = x.len() / self.inputs();
        let hidden = &self.layers[..self.layers.len() - 1];
        let mut hidden: Vec<Scratch> =
            hidden.iter().map(|layer| Scratch::new(rows * layer.stride())).collect();
        let mut y = vec![0.0; rows * self.outputs()];
        let mut parts: Vec<_> = hidden
            .iter_mut()
            .zip(&self.layers)
            .map(|(values, layer)| values.chunks_mut(SECTION * layer.stride()))
            .collect();
        let mut sections = Vec::with_capacity(rows.div_ceil(SECTION));
        let inputs = x.chunks(SECTION * self.inputs());
        for (x, y) in inputs.zip(y.chunks_mut(SECTION * self.outputs())) {
            let hidden = parts.iter_mut().filter_map(Iterator::next).collect();
            sections.push(Forward { network: self, x, hidden, y });
        }
        sections.into_par_iter().fork(run);
        (y, hidden)
    }

    /// The gradients of all layers, and of x (N, from) if asked for, from that of the outputs (N, to).
    pub(crate) fn backward(
        &self,
        x: &[f32],
        hidden: &[Scratch],
        gradient: &[f32],
        of_x: bool,
    ) -> (Vec<LayerGradient>, Option<Vec<f32>>) {
        let rows = x.len() / self.inputs();
        let mut dx = of_x.then(|| vec![0.0; x.len()]);
        let mut dx_parts = dx.as_mut().map(|dx| dx.chunks_mut(SECTION * self.inputs()));
        let mut sections = Vec::with_capacity(rows.div_ceil(SECTION));
        for (number, gradient) in gradient.chunks(SECTION * self.outputs()).enumerate() {
            let count = gradient.len() / self.outputs();
            let of_section = |values: &'_ [f32], width: usize| {
                let start = number * SECTION * width;
                start..(start + count * width).min(values.len())
            };
            let hidden = hidden.iter().zip(&self.layers);
            let hidden = hidden.map(|(h, l)| &h[of_section(h, l.stride())]).collect();
            let x = &x[of_section(x, self.inputs())];
            let dx = dx_parts.as_mut().and_then(Iterator::next);
            sections.push(Backward { network: self, x, hidden, gradient, dx });
        }
        let sums: Vec<Vec<Sums>> = sections.into_par_iter().gather(run);
        (self.add(&sums), dx)
    }

    /// Adds the sections' sums in order.
    fn add(&self, sections: &[Vec<Sums>]) -> Vec<LayerGradient> {
        let add = |(l, layer): (usize, &Packed)| {
            let (mut weight, mut bias) = (vec![0.0; layer.from * layer.to], vec![0.0; layer.to]);
            let plain = self.is_narrow(l);
            for sums in sections.iter().map(|sums| &sums[l]) {
                bias.iter_mut().zip(sums.bias.iter()).for_each(|(total, sum)| *total += sum);
                for (o, row) in weight.chunks_exact_mut(layer.from).enumerate() {
                    for (i, total) in row.iter_mut().enumerate() {
                        *total += match plain {
                            true => sums.weight[o * padded(layer.from) + i],
                            false => sums.weight[i * layer.stride() + o],
                        };
                    }
                }
            }
            (weight, bias)
        };
        self.layers.iter().enumerate().map(add).collect()
    }
}

/// One section forward.
struct Forward<'a> {
    network: &'a Network,
    x: &'a [f32],
    hidden: Vec<&'a mut [f32]>,
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let network = self.network;
        let (width, outputs) = (network.inputs(), network.outputs());
        let rows = self.x.len() / width;
        let last = network.layers.len() - 1;
        let mut wide = Scratch::new(BAND * padded(outputs));
        let mut first = 0;
        while first < rows {
            let count = BAND.min(rows - first);
            for l in 0..=last {
                let layer = &network.layers[l];
                let stride = layer.stride();
                let (before, after) = self.hidden.split_at_mut(l);
                let input = match before.last() {
                    Some(values) => Rows { values, stride: padded(layer.from), width: layer.from },
                    None => Rows { values: self.x, stride: width, width },
                };
                let input = input.band(first, count);
                if l < last {
                    let out = &mut after[0][first * stride..][..count * stride];
                    multiply(simd, input, &layer.forward, stride, out);
                    activate(out, &layer.bias, network.activation);
                    continue;
                }
                let y = &mut self.y[first * outputs..][..count * outputs];
                if network.is_narrow(l) {
                    for (y, h) in
                        y.chunks_exact_mut(outputs).zip(input.values.chunks_exact(input.stride))
                    {
                        for (o, y) in y.iter_mut().enumerate() {
                            let weight = &layer.backward[o * input.stride..][..input.stride];
                            *y = dot(simd, h, weight) + layer.bias[o];
                        }
                    }
                } else {
                    let wide = &mut wide[..count * stride];
                    multiply(simd, input, &layer.forward, stride, wide);
                    for (y, z) in y.chunks_exact_mut(outputs).zip(wide.chunks_exact(stride)) {
                        for ((y, z), bias) in y.iter_mut().zip(z).zip(layer.bias.iter()) {
                            *y = *z + *bias;
                        }
                    }
                }
            }
            first += count;
        }
    }
}

/// a(z + bias), row by row.
#[inline(always)]
fn activate(z: &mut [f32], bias: &[f32], activation: Activation) {
    let bend = Activation::BEND as f32;
    for z in z.chunks_exact_mut(bias.len()) {
        match activation {
            Activation::Relu => {
                for (z, bias) in z.iter_mut().zip(bias) {
                    *z = relu(*z + *bias);
                }
            }
            Activation::Squareplus => {
                for (z, bias) in z.iter_mut().zip(bias) {
                    let sum = *z + *bias;
                    *z = 0.5 * (sum + (sum * sum + bend).sqrt());
                }
            }
        }
    }
}

/// dz = dh a'(z) from h = a(z) alone; of squareplus, h / sqrt(z^2 + b) with sqrt(z^2 + b) = h + b / (4 h).
#[inline(always)]
fn through_activation(dh: &mut [f32], h: &[f32], activation: Activation) {
    let bend = Activation::BEND as f32;
    match activation {
        Activation::Relu => {
            for (dh, h) in dh.iter_mut().zip(h) {
                // NaN passes, so that it is noticed.
                *dh = if *h <= 0.0 { 0.0 } else { *dh };
            }
        }
        Activation::Squareplus => {
            for (dh, h) in dh.iter_mut().zip(h) {
                let square = 4.0 * *h * *h;
                *dh *= square / (square + bend);
            }
        }
    }
}

/// A section's sums of a layer's gradients: the weight's transposed (from, padded to), of a narrow
/// last layer not transposed (to, padded from).
struct Sums {
    weight: Scratch,
    bias: Scratch,
}

/// One section backward.
struct Backward<'a> {
    network: &'a Network,
    x: &'a [f32],
    hidden: Vec<&'a [f32]>,
    gradient: &'a [f32],
    dx: Option<&'a mut [f32]>,
}

impl WithSimd for Backward<'_> {
    type Output = Vec<Sums>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Vec<Sums> {
        let network = self.network;
        let (width, outputs) = (network.inputs(), network.outputs());
        let rows = self.x.len() / width;
        let last = network.layers.len() - 1;
        let mut sums = Vec::with_capacity(last + 1);
        let mut widest = padded(width);
        for layer in &network.layers {
            let size = layer.from.max(layer.to);
            widest = widest.max(padded(size));
            let weight = zeros(padded(layer.from).max(1) * layer.stride());
            sums.push(Sums { weight, bias: zeros(layer.stride()) });
        }
        let mut dz = zeros(BAND * widest);
        let mut next = zeros(BAND * widest);
        let mut first = 0;
        while first < rows {
            let count = BAND.min(rows - first);
            let gradient = &self.gradient[first * outputs..][..count * outputs];
            for l in (0..=last).rev() {
                let layer = &network.layers[l];
                let (stride, from) = (layer.stride(), padded(layer.from));
                let input = match l {
                    0 => Rows { values: self.x, stride: width, width },
                    _ => Rows { values: self.hidden[l - 1], stride: from, width: layer.from },
                };
                let input = input.band(first, count);
                let sum = &mut sums[l];
                if network.is_narrow(l) {
                    narrow_gradients(layer, input, gradient, sum, &mut next);
                } else {
                    if l == last {
                        for (dz, g) in
                            dz.chunks_exact_mut(stride).zip(gradient.chunks_exact(outputs))
                        {
                            dz[..outputs].copy_from_slice(g);
                            dz[outputs..].fill(0.0);
                        }
                    }
                    let dz = &dz[..count * stride];
                    let weight = &mut sum.weight[..layer.from * stride];
                    add_transposed(simd, input, count, dz, stride, weight);
                    for dz in dz.chunks_exact(stride) {
                        for (total, dz) in sum.bias.iter_mut().zip(dz) {
                            *total += *dz;
                        }
                    }
                    if l > 0 || self.dx.is_some() {
                        let left = Rows { values: dz, stride, width: layer.to };
                        multiply(simd, left, &layer.backward, from, &mut next[..count * from]);
                    }
                }
                if l > 0 {
                    through_activation(&mut next[..count * from], input.values, network.activation);
                    std::mem::swap(&mut dz, &mut next);
                } else if let Some(dx) = &mut self.dx {
                    let dx = dx[first * width..][..count * width].chunks_exact_mut(width);
                    for (dx, row) in dx.zip(next.chunks_exact(from)) {
                        dx.copy_from_slice(&row[..width]);
                    }
                }
            }
            first += count;
        }
        sums
    }
}

/// For a narrow last layer: adds to its sums, and writes the gradient of its input into `dh`.
#[inline(always)]
fn narrow_gradients(
    layer: &Packed,
    input: Rows<'_>,
    gradient: &[f32],
    sum: &mut Sums,
    dh: &mut [f32],
) {
    let from = input.stride;
    let rows = input.values.chunks_exact(from).zip(gradient.chunks_exact(layer.to));
    for ((h, g), dh) in rows.zip(dh.chunks_exact_mut(from)) {
        for o in 0..layer.to {
            let g = g[o];
            sum.bias[o] += g;
            let weight = &layer.backward[o * from..][..from];
            let total = &mut sum.weight[o * from..][..from];
            for (total, h) in total.iter_mut().zip(h) {
                *total += g * *h;
            }
            if o == 0 {
                for (dh, weight) in dh.iter_mut().zip(weight) {
                    *dh = g * *weight;
                }
            } else {
                for (dh, weight) in dh.iter_mut().zip(weight) {
                    *dh += g * *weight;
                }
            }
        }
    }
}
