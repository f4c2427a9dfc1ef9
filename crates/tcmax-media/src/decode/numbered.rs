//! Frames of a video by their numbers, which count from 0 in the order in which they are shown.

use std::path::Path;

use super::ffmpeg::{MOST_KEPT, Probe, decode, probe, whole};
use super::image::{Pixels, shrink};
use super::streams::read_ppm;
use crate::error::{Error, Result};

/// The first `count` of every n-th frame of a video, n being its frames per second, rounded down, over
/// `rate`, rounded down; fewer when it is shorter. Each is shrunk so that its shorter side is at most
/// `side`.
///
/// # Errors
/// When the file has no video, is damaged up to the last frame that is taken, or ends early.
pub fn first_frames(path: &Path, rate: f64, count: usize, side: usize) -> Result<Vec<Pixels>> {
    let probe = probe(path)?;
    let step = ((whole_rate(path, &probe)? as f64 / rate) as usize).max(1);
    let numbers: Vec<usize> = (0..count).map(|n| n * step).collect();
    numbered(path, &probe, &numbers, side)
}

/// The frames per second of a video, rounded down, and at least 1.
pub(super) fn whole_rate(path: &Path, probe: &Probe) -> Result<usize> {
    let problem = "it does not say how many frames per second it has";
    let rate = probe.rate.ok_or_else(|| Error::media(path, problem))?;
    Ok((rate as usize).max(1))
}

/// The frames of a video with these numbers, which ascend; those that there are. Each is shrunk so that its
/// shorter side is at most `side`.
///
/// # Errors
/// As [`first_frames`]; and when none of them is there.
pub fn frames_numbered(path: &Path, numbers: &[usize], side: usize) -> Result<Vec<Pixels>> {
    numbered(path, &probe(path)?, numbers, side)
}

/// As [`frames_numbered`] of a file that was asked what it is.
pub(super) fn numbered(
    path: &Path,
    probe: &Probe,
    numbers: &[usize],
    side: usize,
) -> Result<Vec<Pixels>> {
    if !probe.has_frames {
        return Err(Error::media(path, "it has no pictures"));
    }
    whole(path, probe)?;
    let terms: Vec<String> = numbers.iter().map(|number| format!("eq(n,{number})")).collect();
    // A frame at every step of the clock, so that ffmpeg neither repeats nor leaves out any.
    let filter = format!("select='{}',settb=1/25,setpts=N", terms.join("+"));
    let count = numbers.len().to_string();
    let arguments = [
        &["-map", "0:V:0", "-vf", &filter, "-r", "25", "-frames:v", &count][..],
        &["-f", "image2pipe", "-c:v", "ppm", "-"],
    ]
    .concat();
    let frames = decode(path, &arguments, |reader| {
        let (mut frames, mut bytes) = (Vec::with_capacity(numbers.len()), 0);
        while let Some(frame) = read_ppm(reader)? {
            let frame = shrink(frame, side)?;
            bytes += frame.bytes.len();
            if bytes > MOST_KEPT {
                return Err("its frames are too large to keep so many".to_owned());
            }
            frames.push(frame);
        }
        Ok(frames)
    })?;
    match frames.is_empty() {
        true => Err(Error::media(path, "it ends before the first frame that is wanted")),
        false => Ok(frames),
    }
}
