//! Transforms of media files, to what is stored of them.

use std::path::Path;

use rand::Rng;
use tcmax_data::file;
use tcmax_data::shards::ClipTensor;
use tcmax_ops::Seed;

use crate::decode::{Pixels, first_frames, frames, image, sound};
use crate::error::{Error, Result};
use crate::signal::{FilterBank, Sound, Spectrogram, resample, samples, tile};
use crate::text::bag_of_words;
use crate::tokens;
use crate::transform::{Channel, Order, Pick, Transform};

/// Longer texts are refused.
const LONGEST_TEXT: u64 = 1 << 20;

/// What a transform makes of a file.
pub(crate) fn of_file(transform: &Transform, path: &Path) -> Result<ClipTensor> {
    let side = |stored: Option<usize>| stored.unwrap_or(usize::MAX);
    match *transform {
        Transform::Spectrogram { rate, via, start, draw, seconds, n_fft, hop } => {
            let signal = at_rate(path, via, rate, start + draw + seconds)?;
            let start = samples(start, rate) + drawn(path, samples(draw, rate));
            spectrogram(&signal, [start, samples(seconds, rate)], &Spectrogram::new(n_fft, hop))
        }
        Transform::FilterBank { rate, bins, frames, channel, order } => {
            let (signal, rate) = without_mean(path, rate, channel)?;
            let bank = FilterBank::new(rate, bins);
            if bank.frames(signal.len()) == 0 {
                return Err(Error::media(path, "it is shorter than one frame of 25 ms"));
            }
            Ok(filter_bank(&bank, &signal, [bins, frames], order))
        }
        Transform::Frames { rate, frames: count, pick: Pick::Evenly, stored, .. } => {
            pixels(path, &frames(path, rate, count, side(stored))?)
        }
        Transform::Frames { rate, frames: count, pick: Pick::First, stored, .. } => {
            pixels(path, &repeated(first_frames(path, rate, count, side(stored))?, count))
        }
        Transform::Image { stored, .. } => pixels(path, &[image(path, side(stored))?]),
        Transform::Text { .. } | Transform::Tokens { .. } => of_text(transform, &read_text(path)?),
        Transform::Features { width } => features(path, width),
        Transform::Flow { fields, stored, bound, .. } => flow(path, fields, side(stored), bound),
        Transform::FlowFields { fields, side } => flow_fields(path, fields, side),
    }
}

/// What a transform makes of words.
pub(crate) fn of_text(transform: &Transform, text: &str) -> Result<ClipTensor> {
    match *transform {
        Transform::Text { buckets } => {
            Ok(ClipTensor::Values(vec![buckets], bag_of_words(text, buckets)))
        }
        Transform::Tokens { ref tokenizer, tokens, ref sha256 } => {
            let values = tokens::of_text(tokenizer, sha256.as_deref(), text, tokens)?;
            Ok(ClipTensor::Values(vec![tokens], values))
        }
        _ => {
            let problem = "words are only for modalities of kind 'text' or 'tokens'";
            Err(Error::option("recipe", problem))
        }
    }
}

#[cfg(feature = "opencv")]
fn flow(path: &Path, fields: usize, stored: usize, bound: f32) -> Result<ClipTensor> {
    let found = crate::decode::flow(path, fields, stored)?;
    let bytes: Vec<Pixels> = found.iter().map(|field| field.in_bytes(bound)).collect();
    pixels(path, &repeated(bytes, fields))
}

#[cfg(feature = "opencv")]
fn flow_fields(path: &Path, fields: usize, side: usize) -> Result<ClipTensor> {
    let found = crate::decode::flow_each_second(path, fields)?;
    let mut values = Vec::with_capacity(2 * fields * side * side);
    for axis in 0..2 {
        for field in (0..fields).map(|n| &found[n.min(found.len() - 1)]) {
            let plane =
                field.displacements[axis..].iter().step_by(2).copied().collect::<Vec<f32>>();
            values.extend(stretch(&plane, [field.height, field.width], side));
        }
    }
    Ok(ClipTensor::Halves(vec![2 * fields, side, side], values))
}

#[cfg(not(feature = "opencv"))]
fn flow_fields(_: &Path, _: usize, _: usize) -> Result<ClipTensor> {
    Err(flow_is_missing())
}

/// A plane of height x width numbers at side x side, bilinear between the four neighbours, with
/// the border repeated outside: PyTorch's `interpolate` without aligned corners and antialiasing.
#[cfg(any(feature = "opencv", test))]
fn stretch(plane: &[f32], [height, width]: [usize; 2], side: usize) -> Vec<f32> {
    // The neighbours before and behind, and the weight of the latter.
    let neighbours = |n: usize, length: usize| {
        let scale = length as f32 / side as f32;
        let position = ((n as f32 + 0.5) * scale - 0.5).max(0.0);
        let before = (position as usize).min(length - 1);
        (before, (before + 1).min(length - 1), position - before as f32)
    };
    let columns: Vec<(usize, usize, f32)> = (0..side).map(|x| neighbours(x, width)).collect();
    let mut out = Vec::with_capacity(side * side);
    for (above, below, down) in (0..side).map(|y| neighbours(y, height)) {
        let [above, below] = [above, below].map(|row| &plane[row * width..][..width]);
        for &(left, right, across) in &columns {
            let [above, below] =
                [above, below].map(|row| (1.0 - across) * row[left] + across * row[right]);
            out.push((1.0 - down) * above + down * below);
        }
    }
    out
}

#[cfg(not(feature = "opencv"))]
fn flow(_: &Path, _: usize, _: usize, _: f32) -> Result<ClipTensor> {
    Err(flow_is_missing())
}

/// The refusal of optical flow where OpenCV is not linked.
pub(crate) fn flow_is_missing() -> Error {
    Error::option(
        "optical flow",
        "Farneback's flow needs OpenCV: build with `--features opencv`, or leave the modality out \
         by naming the others in the option `modalities`",
    )
}

/// The sound of a file at a rate, by way of another. Samples more than a second after
/// `longest` seconds are cut off first: the resampler works on blocks, and no sample depends on one so far
/// behind it.
fn at_rate(path: &Path, via: Option<u32>, rate: u32, longest: f64) -> Result<Vec<f32>> {
    let resample = |sound: &Sound, rate| resample(sound, rate).map_err(|p| Error::media(path, p));
    let mut sound = sound(path)?;
    sound.samples.truncate(samples(longest + 1.0, sound.rate) + (1 << 20));
    if let Some(via) = via {
        let samples = resample(&sound, via)?.into_iter().map(sixteen_bits).collect();
        sound = Sound { samples, rate: via, first: None };
    }
    resample(&sound, rate)
}

/// A sample as a WAV file of 16 bits has it.
fn sixteen_bits(sample: f32) -> f32 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) / 32_768.0
}

/// A number of 0 to `most`, drawn once and for all by a file's name.
fn drawn(path: &Path, most: usize) -> usize {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Seed::new(0).stream("start").stream(&name).rng().random_range(0..=most)
}

/// A file's sound without its mean, and its rate.
fn without_mean(path: &Path, rate: Option<u32>, channel: Channel) -> Result<(Vec<f64>, u32)> {
    let mean = |samples: &[f32]| {
        samples.iter().map(|&x| f64::from(x)).sum::<f64>() / samples.len().max(1) as f64
    };
    let mut sound = sound(path)?;
    let mut of_all = None;
    if channel == Channel::First
        && let Some(first) = sound.first.take()
    {
        of_all = Some(mean(&sound.samples));
        sound.samples = first;
    }
    let rate = rate.unwrap_or(sound.rate);
    let samples = resample(&sound, rate).map_err(|problem| Error::media(path, problem))?;
    let mean = of_all.unwrap_or_else(|| mean(&samples));
    Ok((samples.iter().map(|&x| f64::from(x) - mean).collect(), rate))
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

/// Filters by frames, or frames by filters.
fn filter_bank(
    bank: &FilterBank,
    signal: &[f64],
    [bins, frames]: [usize; 2],
    order: Order,
) -> ClipTensor {
    let energies = bank.transform(signal);
    let mut out = vec![0f32; bins * frames];
    for (t, frame) in energies.chunks_exact(bins).take(frames).enumerate() {
        for (bin, &energy) in frame.iter().enumerate() {
            let index = match order {
                Order::FrequenciesFirst => bin * frames + t,
                Order::TimesFirst => t * bins + bin,
            };
            out[index] = energy as f32;
        }
    }
    let shape = match order {
        Order::FrequenciesFirst => vec![1, bins, frames],
        Order::TimesFirst => vec![1, frames, bins],
    };
    ClipTensor::Values(shape, out)
}

/// `count` pictures: the last is repeated where there are fewer.
fn repeated(mut pictures: Vec<Pixels>, count: usize) -> Vec<Pixels> {
    if let Some(last) = pictures.last().cloned() {
        pictures.resize(count, last);
    }
    pictures
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
    let length = file::check(path, "")?;
    if length > LONGEST_TEXT {
        return Err(Error::media(path, format!("a text of {length} bytes is too long")));
    }
    let bytes = file::read(path, "")?;
    let text = std::str::from_utf8(file::without_mark(&bytes));
    text.map(str::to_owned).map_err(|e| {
        let position = e.valid_up_to();
        Error::media(path, format!("byte {position} is not UTF-8 text; convert it, as with iconv"))
    })
}

fn features(path: &Path, width: usize) -> Result<ClipTensor> {
    let values = read_vector(path)?;
    if values.len() != width {
        let problem = format!("{} values, but the others have {width}", values.len());
        return Err(Error::media(path, problem));
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::media(path, format!("value {index} is NaN or infinite")));
    }
    Ok(ClipTensor::Values(vec![width], values))
}

/// All values of an `.npy` file, laid end to end.
pub(crate) fn read_vector(path: &Path) -> Result<Vec<f32>> {
    let mut arrays = tcmax_data::arrays::read_arrays(path)?;
    match (arrays.pop(), arrays.is_empty()) {
        (Some(array), true) => Ok(array.values.into_f32()),
        _ => Err(Error::media(path, "it must hold one array")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_sounds_have_the_paper_s_shapes() {
        let sound = |seconds, n_fft, hop| Transform::Spectrogram {
            rate: 22_050,
            via: None,
            start: 0.0,
            draw: 0.0,
            seconds,
            n_fft,
            hop,
        };
        for (recipe, shape) in
            [(sound(3.0, 512, 353), [1, 257, 188]), (sound(5.0, 256, 128), [1, 129, 862])]
        {
            let modality = tcmax_data::shards::StoredModality {
                name: "audio".to_owned(),
                storage: recipe.storage(),
            };
            assert_eq!(modality.modality().shape, shape);
        }
    }

    #[test]
    fn planes_are_stretched_as_pytorch_does() {
        // F.interpolate([[0, 1, 2], [3, 4, 5]], 2) and 4, bilinear, by hand.
        let plane = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(stretch(&plane, [2, 3], 2), [0.25, 1.75, 3.25, 4.75]);
        let four = stretch(&plane, [2, 3], 4);
        assert_eq!(four[..4], [0.0, 0.625, 1.375, 2.0]);
        assert_eq!(four[4..8], [0.75, 1.375, 2.125, 2.75]);
        assert_eq!(four[12..], [3.0, 3.625, 4.375, 5.0]);
    }

    #[test]
    fn starts_are_drawn_by_the_name_of_the_file_alone() {
        let draws: Vec<usize> =
            (0..200).map(|n| drawn(Path::new(&format!("a/{n}.wav")), 110_250)).collect();
        assert_eq!(draws[7], drawn(Path::new("elsewhere/7.wav"), 110_250));
        let mean = draws.iter().sum::<usize>() / draws.len();
        assert!((45_000..65_000).contains(&mean), "{mean}");
        assert!(draws.iter().all(|&start| start <= 110_250));
        assert_eq!(drawn(Path::new("a.wav"), 0), 0);
    }

    #[test]
    fn what_goes_through_a_wav_file_is_rounded_to_its_steps() {
        assert_eq!(sixteen_bits(0.6 / 32_768.0), 1.0 / 32_768.0);
        assert_eq!([sixteen_bits(1.5), sixteen_bits(-1.5)], [32_767.0 / 32_768.0, -1.0]);
    }

    /// 16-bit WAV of interleaved samples.
    fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let length = 2 * samples.len() as u32;
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((length + 36).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * 2 * u32::from(channels)).to_le_bytes());
        bytes.extend([2 * channels, 16].map(u16::to_le_bytes).concat());
        bytes.extend(b"data");
        bytes.extend(length.to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    /// What the recipes make of WAV files, of one channel and of two, in frames padded with zeros. The
    /// recorded values are Kaldi's of the first channel, less the mean of both.
    #[test]
    fn filter_banks_of_files_are_kaldis() {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fbank_stereo.safetensors");
        let arrays = tcmax_data::arrays::read_arrays(&golden).unwrap();
        let named = |name: &str| arrays.iter().find(|array| array.name == name).unwrap();
        let both: Vec<i16> = named("input.wav_i16").values.iter().map(|x| x as i16).collect();
        let (first, second) = both.split_at(both.len() / 2);
        let wanted: Vec<f64> = named("output.fbank_f64_frames").values.iter().collect();
        let (bins, frames) = (128, 1_024);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sound.wav");
        let made = |channel, order, channels: u16, samples: &[i16]| -> Vec<f32> {
            std::fs::write(&path, wav(16_000, channels, samples)).unwrap();
            let recipe = Transform::FilterBank { rate: Some(16_000), bins, frames, channel, order };
            match of_file(&recipe, &path).unwrap() {
                ClipTensor::Values(_, values) => values,
                other => panic!("{other:?}"),
            }
        };
        let interleave = |a: &[i16], b: &[i16]| -> Vec<i16> {
            a.iter().zip(b).flat_map(|(a, b)| [*a, *b]).collect()
        };
        let of_first = made(Channel::First, Order::TimesFirst, 2, &interleave(first, second));
        for (n, (&got, wanted)) in of_first.iter().zip(&wanted).enumerate() {
            let gap = (f64::from(got) - wanted).abs();
            assert!(gap < 1e-5, "frame {}, filter {}: {got}, {wanted}", n / bins, n % bins);
        }
        assert!(of_first[wanted.len()..].iter().all(|&value| value == 0.0));
        let mean = |channels, samples: &[i16]| {
            made(Channel::Mean, Order::FrequenciesFirst, channels, samples)
        };
        let of_mono = mean(1, first);
        let transposed = |n: usize| of_mono[n % bins * frames + n / bins];
        assert!(
            wanted.iter().enumerate().all(|(n, x)| (f64::from(transposed(n)) - x).abs() < 1e-5)
        );
        // Two channels that differ: their mean, which 16 bits hold exactly.
        let even = |samples: &[i16]| -> Vec<i16> { samples.iter().map(|x| x / 2 * 2).collect() };
        let (a, b) = (even(first), even(second));
        let of_both: Vec<i16> =
            a.iter().zip(&b).map(|(a, b)| ((i32::from(*a) + i32::from(*b)) / 2) as i16).collect();
        assert_eq!(mean(2, &interleave(&a, &b)), mean(1, &of_both));
    }
}
