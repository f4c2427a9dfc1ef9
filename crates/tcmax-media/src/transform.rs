//! Media to what is stored of them.

use std::path::Path;

use tcmax_data::shards::ClipTensor;
use tcmax_data::{FilterBank, Spectrogram, tile};

use crate::decode::{Pixels, Sound, frames, image, resample, sound};
use crate::recipe::Transform;
use crate::text::bag_of_words;
use crate::{Error, Result};

/// Texts beyond are refused.
const LONGEST_TEXT: u64 = 1 << 20;

/// Samples of so many seconds.
pub(crate) fn samples(seconds: f64, rate: u32) -> usize {
    (seconds * f64::from(rate)).round() as usize
}

/// What a recipe makes of a file.
pub(crate) fn of_file(transform: &Transform, path: &Path) -> Result<ClipTensor> {
    match *transform {
        Transform::Spectrogram { rate, start, seconds, n_fft, hop } => {
            let cut = [samples(start, rate), samples(seconds, rate)];
            let sound = at_rate(path, rate, Some(start + seconds))?;
            spectrogram(&sound, cut, &Spectrogram::new(n_fft, hop))
        }
        Transform::FilterBank { rate, bins, frames } => {
            let (bank, samples) = (FilterBank::new(rate, bins), at_rate(path, rate, None)?);
            if bank.frames(samples.len()) == 0 {
                return Err(Error::media(path, "it is shorter than one frame of 25 ms"));
            }
            Ok(filter_bank(&bank, &samples, [bins, frames]))
        }
        Transform::Frames { rate, frames: count, stored, .. } => {
            pixels(path, &frames(path, rate, count, stored)?)
        }
        Transform::Image { stored, .. } => pixels(path, &[image(path, stored)?]),
        Transform::Text { .. } => of_text(transform, &read_text(path)?),
        Transform::Features { width } => features(path, width),
        Transform::Flow { fields, stored, bound, .. } => flow(path, fields, stored, bound),
    }
}

/// What a recipe makes of words.
pub(crate) fn of_text(transform: &Transform, text: &str) -> Result<ClipTensor> {
    match *transform {
        Transform::Text { buckets } => {
            Ok(ClipTensor::Values(vec![buckets], bag_of_words(text, buckets)))
        }
        _ => Err(Error::option("recipe", "words are only for modalities of kind 'text'")),
    }
}

#[cfg(feature = "opencv")]
fn flow(path: &Path, fields: usize, stored: usize, bound: f32) -> Result<ClipTensor> {
    pixels(path, &crate::decode::flow(path, fields, stored, bound)?)
}

#[cfg(not(feature = "opencv"))]
fn flow(_: &Path, _: usize, _: usize, _: f32) -> Result<ClipTensor> {
    Err(flow_is_missing())
}

/// The refusal of optical flow where OpenCV is not linked.
pub(crate) fn flow_is_missing() -> Error {
    Error::option(
        "optical flow",
        "Farneback's flow needs OpenCV: build with `--features opencv`, or leave the modality out, as \
         with --modalities rgb",
    )
}

/// The sound of a file at another rate. What comes a second after `longest` seconds is left out before:
/// the resampler works on blocks, and no sample depends on one so far behind it.
fn at_rate(path: &Path, rate: u32, longest: Option<f64>) -> Result<Vec<f32>> {
    let mut sound: Sound = sound(path)?;
    if let Some(longest) = longest {
        sound.samples.truncate(samples(longest + 1.0, sound.rate) + (1 << 20));
    }
    resample(&sound, rate).map_err(|problem| Error::media(path, problem))
}

/// Repeats, cuts, clips and transforms.
fn spectrogram(
    sound: &[f32],
    [start, length]: [usize; 2],
    stft: &Spectrogram,
) -> Result<ClipTensor> {
    let mut signal = tile(sound, start + length);
    signal.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
    let signal = &signal[start..];
    let [frequencies, times] = stft.shape(signal.len());
    Ok(ClipTensor::Values(vec![1, frequencies, times], stft.transform(signal)))
}

/// Filters by frames, so that frequencies stand where those of spectrograms do.
fn filter_bank(bank: &FilterBank, sound: &[f32], [bins, frames]: [usize; 2]) -> ClipTensor {
    let mean = sound.iter().map(|&x| f64::from(x)).sum::<f64>() / sound.len().max(1) as f64;
    let signal: Vec<f64> = sound.iter().map(|&x| f64::from(x) - mean).collect();
    let energies = bank.transform(&signal);
    let mut out = vec![0f32; bins * frames];
    for (t, frame) in energies.chunks_exact(bins).take(frames).enumerate() {
        for (bin, &energy) in frame.iter().enumerate() {
            out[bin * frames + t] = energy as f32;
        }
    }
    ClipTensor::Values(vec![1, bins, frames], out)
}

/// Pictures one after the other, which must be of one size.
fn pixels(path: &Path, pictures: &[Pixels]) -> Result<ClipTensor> {
    let Some(first) = pictures.first() else {
        return Err(Error::media(path, "there is no picture in it"));
    };
    let mut bytes = Vec::with_capacity(pictures.len() * first.bytes.len());
    for picture in pictures {
        if (picture.height, picture.width) != (first.height, first.width) {
            return Err(Error::media(path, "its pictures change their size"));
        }
        bytes.extend_from_slice(&picture.bytes);
    }
    let shape = [pictures.len(), first.height, first.width, first.channels];
    Ok(ClipTensor::Pixels(shape, bytes))
}

fn read_text(path: &Path) -> Result<String> {
    tcmax_data::own::media_file::check(path, "")?;
    let system = |source| tcmax_data::Error::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(system)?.len();
    if length > LONGEST_TEXT {
        return Err(Error::media(path, format!("a text of {length} bytes is too long")));
    }
    let bytes = std::fs::read(path).map_err(system)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|e| {
        let place = e.valid_up_to();
        Error::media(path, format!("byte {place} is not UTF-8 text; convert it, as with iconv"))
    })
}

fn features(path: &Path, width: usize) -> Result<ClipTensor> {
    tcmax_data::own::media_file::check(path, "")?;
    let values = read_vector(path)?;
    if values.len() != width {
        let problem = format!("{} values, but the others have {width}", values.len());
        return Err(Error::media(path, problem));
    }
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::media(path, format!("value {place} is NaN or infinite")));
    }
    Ok(ClipTensor::Values(vec![width], values))
}

/// All values of an `.npy` file, laid end to end.
pub(crate) fn read_vector(path: &Path) -> Result<Vec<f32>> {
    let arrays = tcmax_data::arrays::read_arrays(path)?;
    let [array] = &arrays[..] else {
        return Err(Error::media(path, "it must hold one array"));
    };
    Ok(array.values.iter().map(|&value| value as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_sounds_have_the_paper_s_shapes() {
        let recipe =
            Transform::Spectrogram { rate: 22_050, start: 0.0, seconds: 3.0, n_fft: 512, hop: 353 };
        let modality = tcmax_data::shards::StoredModality {
            name: "audio".to_owned(),
            storage: recipe.storage(),
        };
        assert_eq!(modality.modality().shape, [1, 257, 188]);
    }
}
