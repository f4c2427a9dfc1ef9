//! Media files to samples and pixels.
//!
//! WAV is read here; FLAC, MP3, Ogg Vorbis and AAC (in MP4, or alone) by symphonia; JPEG by zune, PNG by
//! image. Video, and sound of other formats, goes through the `ffmpeg` program, one process per stream, which
//! writes formats that carry their own sizes: AU for sound, PPM for pictures. Optical flow is OpenCV's,
//! behind the feature `opencv`.
//!
//! What a file says of its size is compared with what its bytes can hold before memory is taken, and no
//! decoder runs for longer than ten minutes. Of sound and video the first 600 s are read.

mod compressed;
mod evenly;
mod ffmpeg;
#[cfg(feature = "opencv")]
mod flow;
mod image;
mod jpeg;
mod limits;
mod mono;
mod mp4;
mod numbered;
mod process;
mod refusal;
mod sound;
mod streams;
#[cfg(feature = "turbojpeg")]
mod turbo;
mod wav;

pub use self::image::{Pixels, image, parse_image, parse_part, shrink, with_image, with_part};
pub use ffmpeg::{Probe, ffmpeg_version, frames, probe};
#[cfg(feature = "opencv")]
pub use flow::{Field, flow, flow_each_second};
pub use numbered::{first_frames, frames_numbered};
pub use refusal::Refusal;
pub use sound::{parse_sound, sound};
pub use streams::{read_au, read_ppm};
