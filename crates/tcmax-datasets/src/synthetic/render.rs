//! From a latent code to a waveform or an image.

use std::f64::consts::TAU;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use tcmax_data::ModalityKind;
use tcmax_media::signal::Spectrogram;
use tcmax_ops::Seed;

const SAMPLE_RATE: usize = 8_000;
const SIDE: usize = 28;
/// Pixels on a side of a glyph.
const GLYPH: usize = 12;

/// Renders the codes of one modality.
pub(super) struct Renderer {
    kind: ModalityKind,
    noise: f64,
    classes: usize,
    states: usize,
    spectrogram: Spectrogram,
}

impl Renderer {
    pub(super) fn new(kind: ModalityKind, noise: f64, classes: usize, states: usize) -> Self {
        Self { kind, noise, classes, states, spectrogram: spectrogram() }
    }

    pub(super) fn render(&self, code: usize, seed: Seed) -> Vec<f32> {
        let (shown, nuisance) = (code / self.states, code % self.states);
        let shown = (shown < self.classes).then_some(shown);
        match self.kind {
            ModalityKind::Spectrogram => {
                self.spectrogram.transform(&waveform(shown, nuisance, self.noise, seed))
            }
            _ => image(shown, nuisance, self.noise, seed),
        }
    }
}

fn spectrogram() -> Spectrogram {
    Spectrogram::new(256, 160)
}

/// The shape of what is rendered of one example.
pub(super) fn shape(kind: ModalityKind) -> Vec<usize> {
    match kind {
        ModalityKind::Spectrogram => {
            let [frequencies, times] = spectrogram().shape(SAMPLE_RATE);
            vec![1, frequencies, times]
        }
        _ => vec![1, SIDE, SIDE],
    }
}

/// One second of sound: half a second of a tone whose pitch is the class, if it shows, and of a lower
/// one whose pitch is the nuisance, each beginning somewhere, in white noise.
fn waveform(shown: Option<usize>, nuisance: usize, noise: f64, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let mut tone = |pitch: f64| {
        let phase = rng.random_range(0.0..TAU);
        let start = rng.random_range(0..SAMPLE_RATE as u32 / 2) as usize;
        let end = start + SAMPLE_RATE / 2;
        move |n: usize| {
            let inside = (start..end).contains(&n);
            if inside { (TAU * pitch * n as f64 / SAMPLE_RATE as f64 + phase).sin() } else { 0.0 }
        }
    };
    let class_tone = shown.map(|shown| tone(1_000.0 + 175.0 * shown as f64));
    let nuisance_tone = tone(200.0 + 80.0 * nuisance as f64);
    let mut sample = |n: usize| {
        let white: f64 = StandardNormal.sample(&mut rng);
        let class = class_tone.as_ref().map_or(0.0, |tone| tone(n));
        (class + nuisance_tone(n) + noise * white) as f32
    };
    (0..SAMPLE_RATE).map(&mut sample).collect()
}

/// A picture: the class's glyph, or a full square if it does not show, at one of nine positions,
/// the nuisance, in pixel noise.
fn image(shown: Option<usize>, nuisance: usize, noise: f64, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    let gap = (SIDE - GLYPH) / 2;
    let (top, left) = (nuisance / 3 * gap, nuisance % 3 * gap);
    let mut pixel = |index: usize| {
        let (y, x) = (index / SIDE, index % SIDE);
        let inside = (top..top + GLYPH).contains(&y) && (left..left + GLYPH).contains(&x);
        let ink = if inside && is_ink(shown, y - top, x - left) { 1.0 } else { 0.0 };
        let white: f64 = StandardNormal.sample(&mut rng);
        (ink + noise * white) as f32
    };
    (0..SIDE * SIDE).map(&mut pixel).collect()
}

/// Glyphs of 3 x 3 blocks of 4 pixels, one bit per block from the top left; any two differ in at
/// least two blocks.
const GLYPHS: [u16; 16] = [
    0b111_101_111,
    0b010_010_010,
    0b111_010_100,
    0b101_010_101,
    0b100_111_001,
    0b001_001_111,
    0b110_110_000,
    0b000_011_011,
    0b111_000_111,
    0b101_101_000,
    0b010_111_010,
    0b100_010_001,
    0b001_110_100,
    0b011_000_110,
    0b000_111_101,
    0b110_001_011,
];

fn is_ink(glyph: Option<usize>, y: usize, x: usize) -> bool {
    let Some(glyph) = glyph else { return true };
    let block = y / (GLYPH / 3) * 3 + x / (GLYPH / 3);
    GLYPHS[glyph] >> (8 - block) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_glyphs_differ_in_two_blocks() {
        for (i, a) in GLYPHS.iter().enumerate() {
            for b in &GLYPHS[..i] {
                assert!((a ^ b).count_ones() >= 2, "{a:09b} and {b:09b}");
            }
        }
    }
}
