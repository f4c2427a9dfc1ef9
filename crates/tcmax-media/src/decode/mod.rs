//! Media files to samples and pixels.
//!
//! WAV is read by hound, JPEG and PNG by image; everything else goes through the `ffmpeg` program, one
//! process a stream, which writes formats that say their own sizes: AU for sound, PPM for pictures. Optical
//! flow is OpenCV's, behind the feature `opencv`.

mod ffmpeg;
#[cfg(feature = "opencv")]
mod flow;
mod image;
mod sound;

pub use self::image::{Pixels, image, shrink, with_image};
pub use ffmpeg::{Probe, ffmpeg_version, frames, probe, read_au, read_ppm};
#[cfg(feature = "opencv")]
pub use flow::flow;
pub use sound::{Sound, resample, sound};

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
