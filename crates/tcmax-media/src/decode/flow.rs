//! Optical flow between frames, by OpenCV.

use std::path::Path;

use opencv::core::{CV_8UC3, Mat, MatTraitConst, MatTraitConstManual, Point2f, set_num_threads};
use opencv::imgproc::{COLOR_RGB2GRAY, cvt_color_def};
use opencv::video::calc_optical_flow_farneback;

use super::evenly::evenly;
use super::ffmpeg::{Probe, probe};
use super::image::Pixels;
use super::numbered::{numbered, whole_rate};
use crate::error::{Error, Result};

/// Displacements of pixels from a frame to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Of each pixel, row by row, the displacement across and down, pixels.
    pub displacements: Vec<f32>,
}

impl Field {
    /// The field in bytes of (height, width, 2): 128 is none, 1 and 255 are `bound` pixels, and more is
    /// cut.
    pub fn in_bytes(&self, bound: f32) -> Pixels {
        let byte = |&d: &f32| (128.0 + 127.0 * (d / bound).clamp(-1.0, 1.0)).round() as u8;
        Pixels {
            height: self.height,
            width: self.width,
            channels: 2,
            bytes: self.displacements.iter().map(byte).collect(),
        }
    }
}

/// Displacements from a frame to the next at `fields` times evenly in a video, in order; fewer when it
/// has fewer frames. Frames are shrunk so that their shorter side is at most `side`.
///
/// Farneback 2003 with a pyramid of 3 levels of 0.5, windows of 15 pixels, 3 iterations, polynomials of
/// 5 pixels with a standard deviation of 1.2.
///
/// # Errors
/// When the file has no pictures, cannot be decoded, or has one frame.
pub fn flow(path: &Path, fields: usize, side: usize) -> Result<Vec<Field>> {
    let probe = probe(path)?;
    let steps = probe.times.len().saturating_sub(1);
    if steps == 0 {
        return Err(Error::media(path, "there is no motion in one frame"));
    }
    let numbers: Vec<usize> = evenly(steps, fields).map(|n| n + 1).collect();
    between(path, &probe, &numbers, side)
}

/// Displacements as [`flow`], to the frames at the first `fields` full seconds (those whose numbers are
/// multiples of the frames per second, rounded down) from the frames before them, not shrunk.
///
/// # Errors
/// As [`flow`]; and when the video is shorter than a second.
pub fn flow_each_second(path: &Path, fields: usize) -> Result<Vec<Field>> {
    let probe = probe(path)?;
    let second = whole_rate(path, &probe)?;
    let numbers: Vec<usize> = (1..=fields).map(|n| n * second).collect();
    between(path, &probe, &numbers, usize::MAX)
}

/// Displacements to the frames with these numbers, which do not descend, from those before them; as
/// many as there are.
fn between(path: &Path, probe: &Probe, numbers: &[usize], side: usize) -> Result<Vec<Field>> {
    let mut wanted: Vec<usize> = numbers.iter().flat_map(|&number| [number - 1, number]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let frames = numbered(path, probe, &wanted, side)?;
    let bad = |error: opencv::Error| Error::media(path, format!("no flow: {}", error.message));
    // Clips are prepared several at a time.
    set_num_threads(1).map_err(bad)?;
    let grey = frames.iter().map(grey).collect::<opencv::Result<Vec<Mat>>>().map_err(bad)?;
    let index = |number: usize| wanted.binary_search(&number).unwrap_or(usize::MAX);
    let pair = |&number: &usize| Some((grey.get(index(number - 1))?, grey.get(index(number))?));
    let fields: Vec<Field> = numbers
        .iter()
        .map_while(pair)
        .map(|(before, after)| field(before, after))
        .collect::<opencv::Result<_>>()
        .map_err(bad)?;
    match fields.is_empty() {
        true => Err(Error::media(path, "it ends before the first frame that is wanted")),
        false => Ok(fields),
    }
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

fn field(before: &Mat, after: &Mat) -> opencv::Result<Field> {
    let mut flow = Mat::default();
    calc_optical_flow_farneback(before, after, &mut flow, 0.5, 3, 15, 3, 5, 1.2, 0)?;
    Ok(Field {
        height: before.rows() as usize,
        width: before.cols() as usize,
        displacements: flow.data_typed::<Point2f>()?.iter().flat_map(|d| [d.x, d.y]).collect(),
    })
}
