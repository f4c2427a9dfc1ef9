//! The options of recipes do what the paper's code does, on sounds and videos whose content is known.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tcmax_data::shards::{Prepared, header, shard_name};
use tcmax_data::{ColumnNames, Dataset};
use tcmax_media::decode::frames_numbered;
use tcmax_media::signal::{FilterBank, Spectrogram, tile};
use tcmax_media::{
    NoProgress, PrepareOptions, Transform, manifest_plan, parse_column_recipes, prepare,
};
use tcmax_ops::Seed;

use crate::needs;

/// Prepares a manifest of one column of files by a recipe in TOML, into `folder/clips`.
fn prepared(folder: &Path, files: &[String], recipe: &str) -> Prepared {
    let lines: String = files.iter().map(|file| format!("{file},{file},x\n")).collect();
    let manifest = folder.join("manifest.csv");
    std::fs::write(&manifest, format!("id,media,label\n{lines}")).unwrap();
    let recipes: BTreeMap<String, Transform> =
        parse_column_recipes(&format!("media = {recipe}")).unwrap();
    let plan =
        manifest_plan(&manifest, None, ColumnNames::default(), &recipes, &NoProgress).unwrap();
    let out = folder.join("clips");
    let _ = std::fs::remove_dir_all(&out);
    prepare(&plan, &out, &PrepareOptions::default(), &NoProgress).unwrap();
    Prepared::open(&out).unwrap()
}

fn read(data: &Prepared, index: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.modalities()[0].len()];
    data.read(index, 0, Seed::new(0), &mut out).unwrap();
    out
}

/// Writes a WAV file of 16 bits; the sample of time t and channel c is `wave(t / rate, c)`.
fn wav(path: &Path, rate: u32, channels: u16, seconds: f64, wave: impl Fn(f64, u16) -> f64) {
    let (bits_per_sample, sample_format) = (16, hound::SampleFormat::Int);
    let spec = hound::WavSpec { channels, sample_rate: rate, bits_per_sample, sample_format };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for t in 0..(seconds * f64::from(rate)) as usize {
        for c in 0..channels {
            let sample = 32_767.0 * wave(t as f64 / f64::from(rate), c);
            writer.write_sample(sample.round() as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
}

fn sine(frequency: f64, t: f64) -> f64 {
    (2.0 * std::f64::consts::PI * frequency * t).sin()
}

/// The frequency with the most energy at a time of a spectrogram.
fn peak(spectrogram: &[f32], times: usize, t: usize) -> usize {
    let at = |k: &usize| spectrogram[k * times + t];
    (0..spectrogram.len() / times).max_by(|a, b| at(a).total_cmp(&at(b))).unwrap()
}

#[test]
fn five_seconds_are_cut_from_a_start_that_the_name_draws() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The frequency says the time: 500 Hz and 500 Hz a second, over ten seconds.
    let chirp = |t: f64, _| 0.5 * sine(500.0 + 250.0 * t, t);
    let files: Vec<String> = (0..12).map(|n| format!("{n}.wav")).collect();
    wav(&folder.join("0.wav"), 22_050, 1, 10.0, chirp);
    for file in &files[1..] {
        std::fs::copy(folder.join("0.wav"), folder.join(file)).unwrap();
    }
    let recipe = "{ kind = \"spectrogram\", rate = 22050, draw = 5.0, seconds = 5.0, n-fft = 256, \
                  hop = 128 }";
    let data = prepared(folder, &files, recipe);
    assert_eq!(data.modalities()[0].shape, [1, 129, 862]);
    let starts: Vec<f64> = (0..12)
        .map(|n| {
            let spectrogram = read(&data, n);
            // Some frames in, where nothing of silence before the cut is left.
            let frequency = peak(&spectrogram, 862, 4) as f64 * 22_050.0 / 256.0;
            let start = (frequency - 500.0) / 500.0 - 4.0 * 128.0 / 22_050.0;
            let end = peak(&spectrogram, 862, 857) as f64 * 22_050.0 / 256.0;
            assert!(((end - frequency) / 500.0 - 853.0 * 128.0 / 22_050.0).abs() < 0.25);
            start
        })
        .collect();
    assert!(starts.iter().all(|start| (-0.1..5.1).contains(start)), "{starts:?}");
    let [least, most] = [f64::min, f64::max].map(|f| starts.iter().copied().reduce(f).unwrap());
    assert!(least < 1.5 && most > 3.5, "{starts:?}");
    let again = prepared(folder, &files, recipe);
    assert!((0..12).all(|n| read(&again, n) == read(&data, n)), "drawn once and for all");

    // Shorter sounds are repeated to where the cut ends.
    wav(&folder.join("short.wav"), 22_050, 1, 0.7, chirp);
    let short = prepared(folder, &["short.wav".to_owned()], &recipe.replace("draw = 5.0, ", ""));
    let samples: Vec<f32> = hound::WavReader::open(folder.join("short.wav"))
        .unwrap()
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let wanted = Spectrogram::new(256, 128).transform(&tile(&samples, 110_250));
    let gap = read(&short, 0).iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 1e-4, "{gap}");
}

#[test]
fn what_goes_through_16_khz_has_nothing_above_8_khz() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tones = |t: f64, _| 0.3 * sine(3_000.0, t) + 0.3 * sine(10_000.0, t);
    wav(&folder.join("a.wav"), 44_100, 1, 3.5, tones);
    let files = ["a.wav".to_owned()];
    let recipe = "{ kind = \"spectrogram\", rate = 22050, seconds = 3.0, n-fft = 512, hop = 353 }";
    let plain = read(&prepared(folder, &files, recipe), 0);
    let via = recipe.replace("22050,", "22050, via = 16000,");
    let via = read(&prepared(folder, &files, &via), 0);
    let at = |spectrogram: &[f32], frequency: f64| {
        let bin = (frequency * 512.0 / 22_050.0).round() as usize;
        spectrogram[bin * 188 + 94]
    };
    assert!((at(&plain, 3_000.0) - at(&via, 3_000.0)).abs() < 0.05);
    assert!(at(&plain, 10_000.0) > 2.0 && at(&via, 10_000.0) < -3.0, "{}", at(&via, 10_000.0));
}

#[test]
fn a_filter_bank_is_of_the_first_channel_at_the_file_s_own_rate_less_the_mean_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A constant on the second channel alone moves the mean of all; frames lose their own, so that it
    // shows in nothing but the length.
    let wave =
        |t: f64, c: u16| [0.4 * sine(900.0, t) + 0.1, 0.3 + 0.2 * sine(200.0, t)][usize::from(c)];
    let files = ["a.wav".to_owned()];
    let recipe = "{ kind = \"filter-bank\", bins = 128, frames = 1024, channel = \"first\", \
                  order = \"times-first\" }";
    for rate in [22_050, 48_000] {
        wav(&folder.join("a.wav"), rate, 2, 4.0, wave);
        let data = prepared(folder, &files, recipe);
        assert_eq!(data.modalities()[0].shape, [1, 1_024, 128]);
        let samples: Vec<f64> = hound::WavReader::open(folder.join("a.wav"))
            .unwrap()
            .samples::<i16>()
            .map(|sample| f64::from(sample.unwrap()) / 32_768.0)
            .collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let first: Vec<f64> = samples.iter().step_by(2).map(|sample| sample - mean).collect();
        let wanted = FilterBank::new(rate, 128).transform(&first);
        let got = read(&data, 0);
        let frames = wanted.len() / 128;
        assert!((390..400).contains(&frames));
        let pairs = got.iter().zip(&wanted);
        let gap = pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-4, "{rate}: {gap}");
        assert!(got[wanted.len()..].iter().all(|&value| value == 0.0), "zeros behind the sound");
    }
    // The default: the mean of channels at 16 kHz, filters first.
    let data = prepared(
        folder,
        &files,
        "{ kind = \"filter-bank\", rate = 16000, bins = 64, frames = 100 }",
    );
    assert_eq!(data.modalities()[0].shape, [1, 64, 100]);
}

/// A video without loss whose n-th frame is grey of the value 2 n.
fn numbered(path: &Path, rate: &str, frames: usize) {
    let source = format!("nullsrc=size=64x48:rate={rate},format=gbrp,geq=r=2*N:g=2*N:b=2*N");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-frames:v"]);
    command.arg(frames.to_string()).args(["-c:v", "ffv1", "-pix_fmt", "bgr0"]).arg(path);
    assert!(command.status().unwrap().success());
}

#[test]
fn the_first_frames_are_those_whose_numbers_are_multiples_of_the_rate_rounded_down() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let files = ["a.mkv".to_owned()];
    let recipe = "{ kind = \"frames\", rate = 1.0, frames = 3, pick = \"first\", side = 32, \
                  augment = \"frame\" }";
    // Of pixels of [0, 1] less the mean 0.485, over the standard deviation 0.229; red comes first.
    let grey = |value: f32| ((0.229 * value + 0.485) * 255.0).round() as usize;
    for (rate, frames, wanted) in [
        ("30000/1001", 110, [0, 29, 58]),
        ("10", 100, [0, 10, 20]),
        ("12.9", 20, [0, 12, 12]),
        ("25", 3, [0, 0, 0]),
    ] {
        numbered(&folder.join("a.mkv"), rate, frames);
        let data = prepared(folder, &files, recipe);
        let pixels = read(&data, 0);
        let got = [0, 1, 2].map(|t| grey(pixels[t * 32 * 32]) / 2);
        assert_eq!(got, wanted, "{rate}");
    }
    // Stored as large as they are.
    let header = header(&folder.join("clips").join(shard_name(0))).unwrap();
    assert_eq!(header.info("a.mkv/media").unwrap().shape, [3, 48, 64, 3]);
}

#[test]
fn frames_are_found_by_number_and_those_that_are_not_there_are_left_out() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mkv");
    numbered(&path, "24000/1001", 50);
    let found = frames_numbered(&path, &[0, 1, 17, 48, 49, 50, 90], 24).unwrap();
    let values: Vec<u8> = found.iter().map(|frame| frame.bytes[0] / 2).collect();
    assert_eq!(values, [0, 1, 17, 48, 49]);
    assert_eq!((found[0].height, found[0].width), (24, 32));
    assert!(frames_numbered(&path, &[50], 24).is_err());
}
