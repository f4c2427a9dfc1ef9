//! Convolution: which algorithm computes which element type and shape.

mod implicit;
mod unfold;
mod winograd;

use std::mem::MaybeUninit;

use crate::cpu::conv2d::winograd::{Filters, Same3x3};
use crate::cpu::element::Element;
use crate::cpu::storage::written;
use crate::geometry::{ConvShape, Window};

/// The passes of a convolution, of f32 below and of f64 in `unfold`. Each writes every value of its last
/// argument.
pub(crate) trait Convolve: Element {
    /// y (B, H', W', to) of x and the filters.
    fn forward(shape: &ConvShape, x: &[Self], weight: &[Self], y: &mut [MaybeUninit<Self>]);

    /// dx (B, H, W, from) of the filters and dy.
    fn input_grad(shape: &ConvShape, weight: &[Self], dy: &[Self], dx: &mut [MaybeUninit<Self>]);

    /// dw (K_h, K_w, from, to) of x and dy.
    fn weight_grad(shape: &ConvShape, x: &[Self], dy: &[Self], dw: &mut [MaybeUninit<Self>]);
}

impl Convolve for f32 {
    fn forward(shape: &ConvShape, x: &[Self], weight: &[Self], y: &mut [MaybeUninit<Self>]) {
        match same3x3(shape) {
            Some(same) => winograd::forward(&same, x, Filters::Plain(weight), y),
            None => implicit::forward(shape, x, weight, y),
        }
    }

    fn input_grad(shape: &ConvShape, weight: &[Self], dy: &[Self], dx: &mut [MaybeUninit<Self>]) {
        match same3x3(shape) {
            Some(same) => winograd::forward(&same.reversed(), dy, Filters::Flipped(weight), dx),
            None => implicit::input_grad(shape, weight, dy, dx),
        }
    }

    fn weight_grad(shape: &ConvShape, x: &[Self], dy: &[Self], dw: &mut [MaybeUninit<Self>]) {
        match same3x3(shape) {
            Some(same) => winograd::weight_grad(&same, x, dy, dw),
            None => implicit::weight_grad(shape, x, dy, dw),
        }
    }
}

/// The shape as Winograd's algorithm takes it, where that pays: with few channels transforming
/// a tile costs as much as the products it saves.
fn same3x3(shape: &ConvShape) -> Option<Same3x3> {
    let ConvShape { batch, from, to, window } = *shape;
    let Window { image: (height, width), kernel, stride, padding, .. } = window;
    let same = kernel == (3, 3) && stride == (1, 1) && padding == (1, 1);
    let pays = height >= 4 && width >= 4 && from >= 16 && to >= 16;
    (same && pays).then_some(Same3x3 { batch, height, width, from, to })
}

/// The output.
pub(crate) fn forward<T: Convolve>(shape: &ConvShape, x: &[T], weight: &[T]) -> Vec<T> {
    let len = shape.batch * shape.out_len();
    if shape.is_empty() {
        return vec![T::zero(); len];
    }
    // SAFETY: the passes of a convolution write every value.
    unsafe { written(len, |y| T::forward(shape, x, weight, y)) }
}

/// The gradient of the input.
pub(crate) fn input_grad<T: Convolve>(shape: &ConvShape, weight: &[T], dy: &[T]) -> Vec<T> {
    let len = shape.batch * shape.image_len();
    if shape.is_empty() {
        return vec![T::zero(); len];
    }
    // SAFETY: the passes of a convolution write every value.
    unsafe { written(len, |dx| T::input_grad(shape, weight, dy, dx)) }
}

/// The gradient of the filters.
pub(crate) fn weight_grad<T: Convolve>(shape: &ConvShape, x: &[T], dy: &[T]) -> Vec<T> {
    let len = shape.depth() * shape.to;
    if shape.is_empty() {
        return vec![T::zero(); len];
    }
    // SAFETY: the passes of a convolution write every value.
    unsafe { written(len, |dw| T::weight_grad(shape, x, dy, dw)) }
}
