//! Log-mel filter banks as Kaldi makes them.
//!
//! Frames of 25 ms every 10 ms that lie wholly inside the signal; each loses its mean, is
//! pre-emphasised (x\[n\] - 0.97 x\[n - 1\], the first sample by itself), weighted with the symmetric
//! Hann window and padded with zeros to a power of two. Its power spectrum is summed under triangles
//! that are equally wide in mel(f) = 1127 ln(1 + f / 700) from 20 Hz to half the sample rate; the
//! logarithm has the smallest step of 32-bit numbers at 1 as its floor. Computed in f64.

use std::sync::Arc;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

const PRE_EMPHASIS: f64 = 0.97;
const LOWEST: f64 = 20.0;

/// A filter bank for one sample rate.
///
/// ```
/// use tcmax_media::signal::FilterBank;
///
/// let bank = FilterBank::new(16_000, 128);
/// // One second: frames of 400 samples every 160.
/// assert_eq!(bank.frames(16_000), 98);
/// assert_eq!(bank.transform(&[0.0; 16_000]).len(), 98 * 128);
/// ```
#[derive(Clone)]
pub struct FilterBank {
    fft: Arc<dyn realfft::RealToComplex<f64>>,
    window: Vec<f64>,
    shift: usize,
    padded: usize,
    /// Of each filter its first bin and its weights from there.
    filters: Vec<(usize, Vec<f64>)>,
}

impl FilterBank {
    /// `bins` filters for signals of `sample_rate` samples per second (at least 100).
    pub fn new(sample_rate: u32, bins: usize) -> Self {
        let rate = f64::from(sample_rate.max(100));
        let (length, shift) = ((rate * 0.025) as usize, (rate * 0.010) as usize);
        let padded = length.next_power_of_two();
        let turn = 2.0 * std::f64::consts::PI / (length.max(2) - 1) as f64;
        let window = (0..length).map(|n| 0.5 - 0.5 * (turn * n as f64).cos()).collect();
        let fft = RealFftPlanner::new().plan_fft_forward(padded);
        Self { fft, window, shift, padded, filters: filters(rate, padded, bins) }
    }

    /// Frames of a signal of `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        match samples.checked_sub(self.window.len()) {
            Some(rest) => rest / self.shift + 1,
            None => 0,
        }
    }

    /// The log energies of a signal, frame by frame (row-major \[frames, bins\]).
    pub fn transform(&self, signal: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.frames(signal.len()) * self.filters.len());
        let mut frame = vec![0f64; self.padded];
        let mut bins = vec![Complex::default(); self.padded / 2 + 1];
        let mut scratch = self.fft.make_scratch_vec();
        for t in 0..self.frames(signal.len()) {
            self.weigh(&signal[t * self.shift..][..self.window.len()], &mut frame);
            // The buffers have the lengths the plan asks for, so this cannot fail.
            let done = self.fft.process_with_scratch(&mut frame, &mut bins, &mut scratch);
            debug_assert!(done.is_ok());
            for (first, weights) in &self.filters {
                let power = bins[*first..].iter().map(Complex::norm_sqr);
                let energy: f64 = weights.iter().zip(power).map(|(w, p)| w * p).sum();
                out.push(energy.max(f64::from(f32::EPSILON)).ln());
            }
        }
        out
    }

    fn weigh(&self, samples: &[f64], frame: &mut [f64]) {
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        frame.fill(0.0);
        let mut previous = samples[0] - mean;
        for ((value, sample), weight) in frame.iter_mut().zip(samples).zip(&self.window) {
            let sample = sample - mean;
            *value = weight * (sample - PRE_EMPHASIS * previous);
            previous = sample;
        }
    }
}

fn filters(rate: f64, padded: usize, bins: usize) -> Vec<(usize, Vec<f64>)> {
    let mel = |f: f64| 1127.0 * (1.0 + f / 700.0).ln();
    let (low, high) = (mel(LOWEST), mel(rate / 2.0));
    let step = (high - low) / (bins + 1) as f64;
    let filter = |bin: usize| {
        let [left, centre, right] = [0.0, 1.0, 2.0].map(|n| low + (bin as f64 + n) * step);
        let weight = |k: usize| {
            let m = mel(k as f64 * rate / padded as f64);
            ((m - left) / (centre - left)).min((right - m) / (right - centre)).max(0.0)
        };
        // The bin at half the sample rate belongs to no filter.
        let weights: Vec<f64> = (0..padded / 2).map(weight).collect();
        let first = weights.iter().position(|&w| w > 0.0).unwrap_or(0);
        let last = weights.iter().rposition(|&w| w > 0.0).map_or(first, |last| last + 1);
        (first, weights[first..last].to_vec())
    };
    (0..bins).map(filter).collect()
}
