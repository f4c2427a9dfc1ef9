//! Log-magnitude spectrograms.
//!
//! s\[k, t\] = log(|sum_n w\[n\] x\[t hop + n - n_fft / 2\] exp(-2 pi i k n / n_fft)| + 1e-7) with the
//! periodic Hann window w, frames centred on their hop and zeros outside the signal: what
//! librosa.stft gives with `center=True`, zero padding, and the usual logarithm of the paper's
//! recipe. Transforms are computed in f64, since log turns the rounding of silent bins into noise.

use std::sync::Arc;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;
use wide::f32x8;

/// What keeps the logarithm of silence finite.
const LEAST: f64 = 1e-7;

/// A short-time Fourier transform of fixed size.
///
/// ```
/// use tcmax_media::signal::Spectrogram;
///
/// let spectrogram = Spectrogram::new(256, 160);
/// // One second at 8 kHz.
/// assert_eq!(spectrogram.shape(8_000), [129, 51]);
/// let silence = spectrogram.transform(&[0.0; 8_000]);
/// assert!((silence[0] - 1e-7f32.ln()).abs() < 1e-5);
/// ```
#[derive(Clone)]
pub struct Spectrogram {
    fft: Arc<dyn realfft::RealToComplex<f64>>,
    window: Vec<f64>,
    hop: usize,
}

impl Spectrogram {
    /// A transform of frames of `n_fft` samples (at least 2), one every `hop` samples (at least 1).
    pub fn new(n_fft: usize, hop: usize) -> Self {
        let n_fft = n_fft.max(2);
        let phase = |n: usize| 2.0 * std::f64::consts::PI * n as f64 / n_fft as f64;
        let window = (0..n_fft).map(|n| 0.5 - 0.5 * phase(n).cos()).collect();
        let fft = RealFftPlanner::new().plan_fft_forward(n_fft);
        Self { fft, window, hop: hop.max(1) }
    }

    /// \[frequencies, times\] of a signal of `samples` samples.
    pub fn shape(&self, samples: usize) -> [usize; 2] {
        [self.window.len() / 2 + 1, samples / self.hop + 1]
    }

    /// The spectrogram of a signal, frequency by frequency (row-major \[frequencies, times\]).
    pub fn transform(&self, signal: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.shape(signal.len()).iter().product()];
        self.transform_into(signal, &mut out);
        out
    }

    /// The same into `out`, row-major \[frequencies, times\].
    ///
    /// # Panics
    /// When `out` has another length than [`Spectrogram::shape`] says.
    pub fn transform_into(&self, signal: &[f32], out: &mut [f32]) {
        let [frequencies, times] = self.shape(signal.len());
        assert_eq!(out.len(), frequencies * times, "the length of a spectrogram");
        // Beyond the last frequency there are zeros that are not read.
        let mut row = vec![0f32; frequencies.next_multiple_of(8)];
        self.frames(signal, |t, bins| {
            row.iter_mut().zip(bins).for_each(|(power, bin)| *power = bin.norm_sqr() as f32);
            for lanes in row.as_chunks_mut::<8>().0 {
                *lanes = (f32x8::new(*lanes).sqrt() + LEAST as f32).ln().to_array();
            }
            row[..frequencies]
                .iter()
                .enumerate()
                .for_each(|(k, &value)| out[k * times + t] = value);
            row[frequencies..].fill(0.0);
        });
    }

    /// The same without rounding.
    pub fn transform_f64(&self, signal: &[f32]) -> Vec<f64> {
        let [frequencies, times] = self.shape(signal.len());
        let mut out = vec![0.0; frequencies * times];
        self.frames(signal, |t, bins| {
            for (k, bin) in bins.iter().enumerate() {
                out[k * times + t] = (bin.norm() + LEAST).ln();
            }
        });
        out
    }

    /// Hands every frame's number and Fourier transform to `each`.
    fn frames(&self, signal: &[f32], mut each: impl FnMut(usize, &[Complex<f64>])) {
        let [frequencies, times] = self.shape(signal.len());
        let mut frame = vec![0f64; self.window.len()];
        let mut bins = vec![Complex::default(); frequencies];
        let mut scratch = self.fft.make_scratch_vec();
        for t in 0..times {
            self.frame(signal, t, &mut frame);
            // The buffers have the lengths the plan asks for, so this cannot fail.
            let done = self.fft.process_with_scratch(&mut frame, &mut bins, &mut scratch);
            debug_assert!(done.is_ok());
            each(t, &bins);
        }
    }

    /// The windowed frame centred on hop `t`, zero outside the signal.
    fn frame(&self, signal: &[f32], t: usize, frame: &mut [f64]) {
        let (centre, half) = (t * self.hop, self.window.len() / 2);
        let before = half.saturating_sub(centre);
        let first = (centre + before - half).min(signal.len());
        let count = (signal.len() - first).min(frame.len() - before);
        frame[..before].fill(0.0);
        frame[before + count..].fill(0.0);
        let inside = frame[before..].iter_mut().zip(&self.window[before..]);
        for ((value, weight), &sample) in inside.zip(&signal[first..first + count]) {
            *value = weight * f64::from(sample);
        }
    }
}

/// The first `length` samples of a signal repeated as often as needed.
pub fn tile(signal: &[f32], length: usize) -> Vec<f32> {
    let mut tiled = Vec::with_capacity(length);
    while tiled.len() < length && !signal.is_empty() {
        tiled.extend_from_slice(&signal[..signal.len().min(length - tiled.len())]);
    }
    tiled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spectrogram_is_its_definition() {
        let signal: Vec<f32> = (0..50u32).map(|i| ((i * i) % 17) as f32 / 17.0 - 0.4).collect();
        let (n_fft, hop) = (16usize, 7usize);
        let spectrogram = Spectrogram::new(n_fft, hop);
        let got = spectrogram.transform(&signal);
        let [frequencies, times] = spectrogram.shape(signal.len());
        for k in 0..frequencies {
            for t in 0..times {
                let (mut re, mut im) = (0.0f64, 0.0f64);
                for n in 0..n_fft {
                    let index = (t * hop + n) as isize - (n_fft / 2) as isize;
                    let inside = usize::try_from(index).ok().and_then(|p| signal.get(p));
                    let x = f64::from(inside.copied().unwrap_or(0.0));
                    let angle = 2.0 * std::f64::consts::PI * n as f64 / n_fft as f64;
                    let weighted = x * (0.5 - 0.5 * angle.cos());
                    re += weighted * (angle * k as f64).cos();
                    im -= weighted * (angle * k as f64).sin();
                }
                let wanted = ((re * re + im * im).sqrt() + 1e-7).ln();
                let gap = (f64::from(got[k * times + t]) - wanted).abs();
                assert!(gap < 1e-5, "bin {k}, frame {t}: {gap:e}");
            }
        }
    }

    #[test]
    fn short_signals_are_repeated_and_long_ones_cut() {
        assert_eq!(tile(&[1.0, 2.0], 5), [1.0, 2.0, 1.0, 2.0, 1.0]);
        assert_eq!(tile(&[1.0, 2.0, 3.0], 2), [1.0, 2.0]);
    }
}
