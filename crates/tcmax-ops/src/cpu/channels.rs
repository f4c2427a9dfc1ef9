//! The layout of values by channel, channels last, as loops take them: in runs of whole rows, so that few
//! channels do not make short loops, and in bands of whole runs, one for each task.

use crate::cpu::element::Element;

/// Values that innermost loops run over at least.
const RUN: usize = 64;

/// Values of a band: 32 KiB of f32.
const BAND: usize = 8192;

/// The length of a run of whole rows over which the channels repeat.
pub(crate) fn period(channels: usize) -> usize {
    channels * RUN.div_ceil(channels)
}

/// Values in a band of whole runs.
pub(crate) fn band_len(channels: usize) -> usize {
    let period = period(channels);
    period * (BAND / period).max(1)
}

/// One value per channel, repeated over a run.
pub(crate) fn repeated<T: Element>(values: impl ExactSizeIterator<Item = f64> + Clone) -> Vec<T> {
    let len = period(values.len());
    values.map(T::from_f64).collect::<Vec<T>>().into_iter().cycle().take(len).collect()
}

/// The sums of the channels of a run's sums.
pub(crate) fn folded<T: Element>(sums: &[T], channels: usize) -> Vec<f64> {
    let mut totals = vec![0.0; channels];
    for row in sums.chunks_exact(channels) {
        for (total, sum) in totals.iter_mut().zip(row) {
            *total += sum.to_f64();
        }
    }
    totals
}

/// What a run of values is multiplied with and shifted by.
pub(crate) struct Affine<T> {
    pub(crate) mean: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}
