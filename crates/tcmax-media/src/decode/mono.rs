//! What every decoder of sound hands its samples to: it mixes, cuts and checks them.

use super::refusal::Refusal;
use crate::signal::Sound;

/// Nothing beyond is decoded: clips are seconds long, and this bounds memory.
pub(super) const LONGEST_SECONDS: u32 = 600;
/// Samples per second of a file.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;
/// Full scale is 1; what lies beyond is no sound, and overflows where it is squared.
const LARGEST_SAMPLE: f32 = 1e10;

/// The mean of the channels of a sound that is being decoded, and the first of several.
pub(super) struct Mono {
    channels: usize,
    rate: u32,
    /// Frames still to leave out at the start.
    skip: u64,
    /// Frames to keep.
    keep: u64,
    /// Frames seen.
    seen: u64,
    samples: Vec<f32>,
    first: Vec<f32>,
}

impl Mono {
    /// A sound of so many channels, empty yet.
    ///
    /// # Errors
    /// When its header names a rate or a number of channels that no sound has.
    pub(super) fn new(channels: usize, rate: u32) -> Result<Self, Refusal> {
        if !RATES.contains(&rate) {
            let (low, high) = (RATES.start(), RATES.end());
            let problem = format!(
                "its header says {rate} samples per second; {low} to {high} can be read, so it is \
                 damaged or has to be converted"
            );
            return Err(Refusal::Broken(problem));
        }
        if !(1..=64).contains(&channels) {
            let problem = format!("its header says {channels} channels; 1 to 64 can be read");
            return Err(Refusal::Broken(problem));
        }
        let keep = u64::from(LONGEST_SECONDS) * u64::from(rate);
        Ok(Self { channels, rate, skip: 0, keep, seen: 0, samples: Vec::new(), first: Vec::new() })
    }

    /// Leaves out `skip` frames at the start, and what comes after the next `keep`.
    pub(super) fn trim(&mut self, skip: u64, keep: Option<u64>) {
        self.skip = skip;
        self.keep = self.keep.min(keep.unwrap_or(u64::MAX));
    }

    /// Makes room for so many frames, which the file is known to hold.
    pub(super) fn reserve(&mut self, frames: u64) {
        let frames = frames.min(self.keep) as usize;
        self.samples.reserve(frames);
        if self.channels > 1 {
            self.first.reserve(frames);
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Frames seen, those left out included.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether everything wanted is there.
    pub(super) fn is_full(&self) -> bool {
        self.samples.len() as u64 >= self.keep
    }

    /// Takes interleaved samples.
    ///
    /// # Errors
    /// When one is NaN, infinite or absurdly large.
    pub(super) fn push(&mut self, interleaved: &[f32]) -> Result<(), Refusal> {
        for frame in interleaved.chunks_exact(self.channels) {
            self.seen += 1;
            if self.seen <= self.skip {
                continue;
            }
            if self.is_full() {
                return Ok(());
            }
            // Of the samples, not of their mean, in which one channel may cancel another.
            if !frame.iter().all(|sample| sample.abs() <= LARGEST_SAMPLE) {
                return Err(Refusal::Broken(self.absurd(frame)));
            }
            if let [sample] = frame {
                self.samples.push(*sample);
            } else {
                self.samples.push(frame.iter().sum::<f32>() / self.channels as f32);
                self.first.push(frame[0]);
            }
        }
        Ok(())
    }

    fn absurd(&self, frame: &[f32]) -> String {
        let position = self.seen - 1;
        let seconds = position as f64 / f64::from(self.rate);
        format!(
            "sample {position} (at {seconds:.3} s) is {frame:?}: NaN, infinite or far beyond full \
             scale, which is 1"
        )
    }

    /// The sound.
    ///
    /// # Errors
    /// When it is empty.
    pub(super) fn finish(self) -> Result<Sound, Refusal> {
        if self.samples.is_empty() {
            return Err(Refusal::Broken("there is no sample in it".to_owned()));
        }
        let first = (self.channels > 1).then_some(self.first);
        Ok(Sound { samples: self.samples, rate: self.rate, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_averaged_and_ends_left_out() {
        let mut mono = Mono::new(2, 8_000).unwrap();
        mono.trim(1, Some(2));
        mono.push(&[9.0, 9.0, 0.0, 1.0, 0.5, 0.5, 7.0, 7.0]).unwrap();
        assert!(mono.is_full());
        let sound = mono.finish().unwrap();
        assert_eq!((&sound.samples[..], sound.first), (&[0.5, 0.5][..], Some(vec![0.0, 0.5])));
    }

    #[test]
    fn absurd_samples_rates_and_channels_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, -1e35] {
            let mut mono = Mono::new(2, 8_000).unwrap();
            mono.push(&[0.0, 0.0]).unwrap();
            let Err(Refusal::Broken(problem)) = mono.push(&[0.0, bad]) else {
                panic!("{bad} was taken");
            };
            assert!(problem.contains("sample 1 (at 0.000 s)"), "{problem}");
        }
        for (channels, rate) in [(1, 0), (1, 1), (1, 2_147_483_647), (0, 8_000), (65, 8_000)] {
            assert!(Mono::new(channels, rate).is_err(), "{channels} {rate}");
        }
    }
}
