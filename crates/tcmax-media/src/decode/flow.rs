//! Optical flow between frames, by OpenCV.

use std::path::Path;

use opencv::core::{CV_8UC3, Mat, MatTraitConst, MatTraitConstManual, Point2f, set_num_threads};
use opencv::imgproc::{COLOR_RGB2GRAY, cvt_color_def};
use opencv::video::calc_optical_flow_farneback;

use super::ffmpeg::{Probe, frames_of, probe};
use super::image::Pixels;
use crate::{Error, Result};

/// Frames a second of a video whose frames have no times.
const RATE: f64 = 10.0;

/// Displacements between `fields + 1` frames taken evenly in time, in order; frames are shrunk so that
/// their shorter side is at most `side`. Bytes of (height, width, 2), across and down: 128 is none, 1
/// and 255 are `bound` pixels of the shrunk frame, and more is cut.
///
/// Farneback 2003 with a pyramid of 3 levels of 0.5, windows of 15 pixels, 3 iterations, polynomials of
/// 5 pixels with a deviation of 1.2.
///
/// # Errors
/// When the file has no pictures, cannot be decoded, ends early or has one frame.
pub fn flow(path: &Path, fields: usize, side: usize, bound: f32) -> Result<Vec<Pixels>> {
    let probe = probe(path)?;
    if probe.times.len() == 1 {
        return Err(Error::media(path, "there is no motion in one frame"));
    }
    let frames = frames_of(path, &probe, rate(&probe, fields), fields + 1, side)?;
    let bad = |error: opencv::Error| Error::media(path, format!("no flow: {}", error.message));
    // Clips are prepared several at a time.
    set_num_threads(1).map_err(bad)?;
    let grey = frames.iter().map(grey).collect::<opencv::Result<Vec<Mat>>>().map_err(bad)?;
    grey.windows(2).map(|pair| field(&pair[0], &pair[1], bound).map_err(bad)).collect()
}

/// Twice as many frames as are taken, since decoders miss some at the ends. By the times of the frames,
/// not by the length that the file declares.
fn rate(probe: &Probe, fields: usize) -> f64 {
    let length = probe.times.last().filter(|&&seconds| seconds > 0.0);
    length.map_or(RATE, |seconds| (2.0 * (fields + 1) as f64 / seconds).clamp(0.001, 240.0))
}

fn grey(frame: &Pixels) -> opencv::Result<Mat> {
    let rows = Mat::new_rows_cols_with_bytes::<opencv::core::Vec3b>(
        frame.height as i32,
        frame.width as i32,
        &frame.bytes,
    )?;
    debug_assert_eq!(rows.typ(), CV_8UC3);
    let mut grey = Mat::default();
    cvt_color_def(&rows, &mut grey, COLOR_RGB2GRAY)?;
    Ok(grey)
}

fn field(before: &Mat, after: &Mat, bound: f32) -> opencv::Result<Pixels> {
    let mut flow = Mat::default();
    calc_optical_flow_farneback(before, after, &mut flow, 0.5, 3, 15, 3, 5, 1.2, 0)?;
    let byte = |pixels: f32| (128.0 + 127.0 * (pixels / bound).clamp(-1.0, 1.0)).round() as u8;
    let bytes = flow.data_typed::<Point2f>()?.iter().flat_map(|d| [byte(d.x), byte(d.y)]);
    Ok(Pixels {
        height: before.rows() as usize,
        width: before.cols() as usize,
        channels: 2,
        bytes: bytes.collect(),
    })
}
