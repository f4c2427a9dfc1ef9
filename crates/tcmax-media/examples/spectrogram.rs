//! The spectrogram of a sound file, drawn with characters; without a file, of a whistle that rises.
//!
//! ```text
//! cargo run -p tcmax-media --example spectrogram [-- FILE]
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::f32::consts::TAU;
use std::path::Path;

use tcmax_media::decode::sound;
use tcmax_media::signal::{Sound, Spectrogram, resample};

const RATE: u32 = 8_000;
/// Samples of a frame, and from one to the next.
const FRAME: usize = 256;
/// Lines and columns of the drawing at most.
const SIZE: (usize, usize) = (16, 64);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sound = match std::env::args_os().nth(1) {
        Some(file) => sound(Path::new(&file))?,
        None => whistle(),
    };
    let samples = resample(&sound, RATE)?;
    let spectrogram = Spectrogram::new(FRAME, FRAME);
    let [frequencies, times] = spectrogram.shape(samples.len());
    let values = spectrogram.transform(&samples);
    let seconds = samples.len() as f64 / f64::from(RATE);
    println!("{seconds:.1} s: {frequencies} frequencies x {times} times, log magnitudes");
    let loudest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (high, wide) = (frequencies.div_ceil(SIZE.0), times.div_ceil(SIZE.1));
    for line in (0..frequencies.div_ceil(high)).rev() {
        let cell = |column: usize| {
            let rows = line * high..((line + 1) * high).min(frequencies);
            let columns = column * wide..((column + 1) * wide).min(times);
            let loud = rows.flat_map(|row| &values[row * times..][columns.clone()]);
            // Steps of 1.5 nats, about 13 dB, below the loudest.
            let below = (loudest - loud.copied().fold(f32::NEG_INFINITY, f32::max)) / 1.5;
            [b'#', b'+', b'.', b' '][(below as usize).min(3)] as char
        };
        let lowest = (line * high) as f64 * f64::from(RATE) / FRAME as f64;
        let cells: String = (0..times.div_ceil(wide)).map(cell).collect();
        println!("{lowest:5.0} Hz |{cells}");
    }
    Ok(())
}

/// Two seconds at 16 kHz, from 300 Hz to 3 kHz.
fn whistle() -> Sound {
    let rate = 16_000;
    let phase = |n: u32| {
        let seconds = n as f32 / rate as f32;
        TAU * (300.0 * seconds + 675.0 * seconds * seconds)
    };
    let samples = (0..2 * rate).map(|n| 0.5 * phase(n).sin()).collect();
    Sound { samples, rate, first: None }
}
