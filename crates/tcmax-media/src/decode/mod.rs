//! Media files to samples and pixels.
//!
//! WAV is read here; FLAC, MP3, Ogg Vorbis and AAC (in MP4, or alone) by symphonia; JPEG by zune, PNG by
//! image. Video, and sound of other formats, goes through the `ffmpeg` program, one process a stream, which
//! writes formats that say their own sizes: AU for sound, PPM for pictures. Optical flow is OpenCV's,
//! behind the feature `opencv`.
//!
//! What a file says of its size is compared with what its bytes can hold before memory is taken, and no
//! decoder runs for longer than ten minutes. Of sound and video the first 600 s are read.

mod compressed;
mod ffmpeg;
#[cfg(feature = "opencv")]
mod flow;
mod image;
mod mono;
mod mp4;
mod numbered;
mod process;
mod sound;
mod streams;
mod wav;

pub use self::image::{Pixels, image, parse_image, shrink, with_image};
pub use ffmpeg::{Probe, ffmpeg_version, frames, probe};
#[cfg(feature = "opencv")]
pub use flow::{Field, flow, flow_each_second};
pub use numbered::{first_frames, frames_numbered};
pub use sound::{Sound, parse_sound, resample, sound};
pub use streams::{read_au, read_ppm};

/// Why a decoder does not read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is damaged, or not what it says.
    Broken(String),
    /// It is of a format that another decoder may know.
    Foreign(String),
}

/// The middles of `count` equal parts of `0..len`.
pub(crate) fn evenly(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |n| (2 * n + 1) * len / (2 * count))
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn frames_are_taken_evenly_and_few_are_repeated() {
        assert_eq!(evenly(10, 3).collect::<Vec<_>>(), [1, 5, 8]);
        assert_eq!(evenly(3, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(evenly(1, 3).collect::<Vec<_>>(), [0, 0, 0]);
        assert_eq!(evenly(2, 4).collect::<Vec<_>>(), [0, 0, 1, 1]);
    }
}
