//! Media files to samples and pixels.
//!
//! WAV is read by hound, JPEG and PNG by image; everything else goes through the `ffmpeg` program, one
//! process a stream, which writes formats that say their own sizes: AU for sound, PPM for pictures.

mod ffmpeg;
mod image;
mod sound;

pub use self::image::{Pixels, image, shrink};
pub use ffmpeg::{Probe, ffmpeg_version, frames, probe, read_au, read_ppm};
pub use sound::{Sound, resample, sound};
