//! Small example files, made on the spot: one of each kind that `tcmax train --dataset` and
//! `tcmax estimate` take.
//!
//! Two modalities show the class, each with noise of its own: about 90 % of the examples are told right
//! from both, fewer from either. All numbers follow from one seed.

use std::f64::consts::PI;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::{GrayImage, ImageFormat, Luma};
use tcmax_ops::{Init, Seed};
use tcmax_train::checkpoint::write_whole;
use tcmax_train::{Error, Result};

const EXAMPLES: usize = 240;
const CLASSES: usize = 3;
const SPEAKERS: usize = 12;
/// Examples with media.
const POSTS: usize = 48;
const RATE: u32 = 8_000;
const SIDE: u32 = 64;

/// Writes `features.npz`, `tables/`, `table.csv` and `posts.csv` with its media into `folder`, and
/// returns what was written.
///
/// # Errors
/// When the folder holds any of them already, or they cannot be written.
pub(super) fn write_examples(folder: &Path) -> Result<Vec<PathBuf>> {
    let names = ["features.npz", "tables", "table.csv", "posts.csv", "sounds", "pictures"];
    let paths = names.map(|name| folder.join(name));
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        let problem = "it is there already; choose an empty folder";
        return Err(Error::bad_file(path, problem));
    }
    let [features, tables, table, posts, sounds, pictures] = &paths;
    for folder in [tables, sounds, pictures] {
        std::fs::create_dir_all(folder).map_err(|e| Error::bad_file(folder, e.to_string()))?;
    }
    let labels: Vec<usize> = (0..EXAMPLES).map(|row| row % CLASSES).collect();
    let audio = views(&labels, 6, "audio")?;
    let visual = views(&labels, 4, "visual")?;
    write_features(features, &labels, &audio, &visual)?;
    write_table(&tables.join("audio.csv"), &labels, &audio)?;
    write_table(&tables.join("visual.csv"), &labels, &visual)?;
    write_variables(table, &labels, &audio, &visual)?;
    write_posts(posts, sounds, pictures)?;
    Ok(paths.to_vec())
}

/// Vectors of `width` whose first `CLASSES` numbers show the class in noise.
fn views(labels: &[usize], width: usize, name: &str) -> Result<Vec<Vec<f32>>> {
    let unit = Init::Normal { mean: 0.0, std: 1.0 };
    let shape = (labels.len(), width).into();
    let noise = unit.tensor(&shape, Seed::new(0).stream(name), DType::F32, &Device::Cpu)?;
    let mut rows = noise.to_vec2::<f32>()?;
    rows.iter_mut().zip(labels).for_each(|(row, &label)| row[label] += 2.0);
    Ok(rows)
}

fn write_features(
    path: &Path,
    labels: &[usize],
    audio: &[Vec<f32>],
    visual: &[Vec<f32>],
) -> Result<()> {
    let device = &Device::Cpu;
    let whole = |values: Vec<i64>| Tensor::new(values, device);
    let arrays = [
        ("audio", Tensor::new(audio.to_vec(), device)?),
        ("visual", Tensor::new(visual.to_vec(), device)?),
        ("label", whole(labels.iter().map(|&label| label as i64).collect())?),
        (
            "speaker",
            whole((0..labels.len()).map(|row| (row / CLASSES % SPEAKERS) as i64).collect())?,
        ),
    ];
    let arrays: Vec<(&str, &Tensor)> = arrays.iter().map(|(name, array)| (*name, array)).collect();
    Ok(Tensor::write_npz(&arrays, path)?)
}

fn write_table(path: &Path, labels: &[usize], rows: &[Vec<f32>]) -> Result<()> {
    let mut text = String::new();
    for (row, label) in rows.iter().zip(labels) {
        for value in row {
            // Writing to a string does not fail.
            let _ = write!(text, "{value},");
        }
        text += word(*label);
        text.push('\n');
    }
    write_whole(path, text.as_bytes())
}

fn write_variables(
    path: &Path,
    labels: &[usize],
    audio: &[Vec<f32>],
    visual: &[Vec<f32>],
) -> Result<()> {
    let mut text = "a,b,y\n".to_owned();
    for ((a, b), label) in audio.iter().zip(visual).zip(labels) {
        let _ = writeln!(text, "{},{},{}", a[0], b[0], word(*label));
    }
    write_whole(path, text.as_bytes())
}

fn word(class: usize) -> &'static str {
    ["calm", "glad", "cross"][class]
}

/// A tone whose pitch, a stripe whose place and words whose mood are the class's.
fn write_posts(path: &Path, sounds: &Path, pictures: &Path) -> Result<()> {
    let moods = [["quiet", "slow"], ["merry", "bright"], ["loud", "rough"]];
    let mut text = "id,sound,picture,words,label,speaker\n".to_owned();
    let noise = views(&vec![0; POSTS], RATE as usize / 2, "sound")?;
    let shades = views(&vec![0; POSTS], (SIDE * SIDE) as usize, "picture")?;
    for (n, (noise, shades)) in noise.iter().zip(&shades).enumerate() {
        let class = n % CLASSES;
        let (sound, picture) = (format!("{n:02}.wav"), format!("{n:02}.png"));
        write_whole(&sounds.join(&sound), &wav(class, noise))?;
        write_whole(&pictures.join(&picture), &png(class, shades)?)?;
        let words = moods[class][n / CLASSES % 2];
        let _ = writeln!(
            text,
            "post{n:02},sounds/{sound},pictures/{picture},a {words} day,{},speaker{}",
            word(class),
            n / CLASSES % SPEAKERS,
        );
    }
    write_whole(path, text.as_bytes())
}

/// Half a second of a tone in noise, 16 bits.
fn wav(class: usize, noise: &[f32]) -> Vec<u8> {
    let pitch = 300.0 * (class + 1) as f64;
    let length = 2 * noise.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((length + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    // PCM, one channel, bytes a second and a sample.
    bytes.extend(16u32.to_le_bytes());
    bytes.extend([1u16, 1].map(u16::to_le_bytes).concat());
    bytes.extend([RATE, 2 * RATE].map(u32::to_le_bytes).concat());
    bytes.extend([2u16, 16].map(u16::to_le_bytes).concat());
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    for (n, noise) in noise.iter().enumerate() {
        let tone = (2.0 * PI * pitch * n as f64 / f64::from(RATE)).sin();
        let sample = (0.3 * tone + 0.1 * f64::from(*noise)).clamp(-1.0, 1.0);
        bytes.extend(((sample * 32_767.0) as i16).to_le_bytes());
    }
    bytes
}

/// A bright stripe in noise.
fn png(class: usize, noise: &[f32]) -> Result<Vec<u8>> {
    let stripe = SIDE / CLASSES as u32;
    let picture = GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let bright = if (x / stripe) as usize == class { 90.0 } else { 0.0 };
        Luma([(80.0 + bright + 25.0 * noise[(y * SIDE + x) as usize]).clamp(0.0, 255.0) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    let written = picture.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|e| Error::bad_file(Path::new("pictures"), e.to_string()))?;
    Ok(bytes.into_inner())
}
