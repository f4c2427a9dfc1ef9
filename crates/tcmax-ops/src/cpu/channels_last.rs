//! Images (B, C, H, W) to (B, H, W, C).

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::storage::written;
use crate::tasks::Fork;

/// Values that a thread moves at least.
const AT_ONCE: usize = 1 << 12;

/// The values of `x` (B, C, H, W) with the channels last.
pub(crate) fn channels_last<T: Element>(x: &[T], [channels, height, width]: [usize; 3]) -> Vec<T> {
    let line = width * channels;
    let write = |y: &mut [MaybeUninit<T>]| {
        let lines = y.par_chunks_mut(line).with_min_len(AT_ONCE.div_ceil(line)).enumerate();
        lines.fork(|(number, y)| {
            let (image, row) = (number / height, number % height);
            for channel in 0..channels {
                let start = ((image * channels + channel) * height + row) * width;
                let values = x[start..][..width].iter();
                for (y, value) in y[channel..].iter_mut().step_by(channels).zip(values) {
                    y.write(*value);
                }
            }
        });
    };
    // SAFETY: x is whole images, and of every line each channel of each pixel is written.
    unsafe { written(x.len(), write) }
}
