//! Sound in memory, at any rate.

use std::cell::RefCell;

use rubato::audioadapter::Adapter;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Frames of a block of the resampler: long blocks have steep filters.
const BLOCK: usize = 4_096;

/// Mono sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples in [-1, 1].
    pub samples: Vec<f32>,
    /// Samples per second.
    pub rate: u32,
    /// The first channel alone, where there are several.
    pub first: Option<Vec<f32>>,
}

/// Samples of a number of seconds.
pub fn samples(seconds: f64, rate: u32) -> usize {
    (seconds * f64::from(rate)).round() as usize
}

/// The same sound at another rate, band-limited: ceil(n rate / sound.rate) samples of n.
///
/// # Errors
/// When a rate is 0, as a damaged header may say.
pub fn resample(sound: &Sound, rate: u32) -> Result<Vec<f32>, String> {
    if sound.rate == rate {
        return Ok(sound.samples.clone());
    }
    let samples = &sound.samples;
    let length = (samples.len() as u64 * u64::from(rate)).div_ceil(u64::from(sound.rate.max(1)));
    let output = RESAMPLER.with_borrow_mut(|kept| {
        let resampler = match kept {
            Some((rates, resampler)) if *rates == (sound.rate, rate) => resampler,
            _ => &mut kept.insert(((sound.rate, rate), resampler(sound.rate, rate)?)).1,
        };
        let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| e.to_string())?;
        // Starts from silence, whatever it did before.
        resampler.process_all(&input, samples.len(), None).map_err(|e| e.to_string())
    })?;
    let mut resampled = vec![0.0; length as usize];
    output.copy_from_channel_to_slice(0, 0, &mut resampled);
    Ok(resampled)
}

/// Rates from and to, and the resampler for them.
type Kept = ((u32, u32), Fft<f32>);

thread_local! {
    /// The resampler last used with its rates: planning transforms takes longer than a short sound.
    static RESAMPLER: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

fn resampler(from: u32, to: u32) -> Result<Fft<f32>, String> {
    let (from, to) = (from as usize, to as usize);
    let window = WindowFunction::BlackmanHarris2;
    Fft::new_custom(from, to, even_block(from, to), 1, 1, window, FixedSync::Input)
        .map_err(|e| e.to_string())
}

/// About [`BLOCK`] frames that make a whole and even number of resampled ones: a power of two of the
/// fewest that do, which is quick to transform. The resampler's delay is half of them: with
/// an odd number, everything would be late by half a frame.
fn even_block(from: usize, to: usize) -> usize {
    let (mut a, mut b) = (from.max(1), to);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let least = (from / a).max(1);
    least * BLOCK.div_ceil(least).next_power_of_two().max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_a_tone_at_another_rate() {
        let tone = |rate: u32, seconds: f64| -> Vec<f32> {
            let step = 2.0 * std::f64::consts::PI * 440.0 / f64::from(rate);
            (0..(f64::from(rate) * seconds) as usize)
                .map(|n| (step * n as f64).sin() as f32)
                .collect()
        };
        for (from, to) in [(16_000, 22_050), (44_100, 22_050), (48_000, 16_000), (8_000, 22_050)] {
            let got =
                resample(&Sound { samples: tone(from, 1.0), rate: from, first: None }, to).unwrap();
            assert_eq!(got.len(), to as usize);
            let wanted = tone(to, 1.0);
            // The ends ring: outside there is silence.
            let inner = to as usize / 10..to as usize * 9 / 10;
            let gap = inner.map(|n| (got[n] - wanted[n]).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-4, "{from} to {to}: {gap}");
        }
    }
}
