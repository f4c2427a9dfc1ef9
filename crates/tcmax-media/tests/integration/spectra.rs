//! Spectrograms and filter banks agree with librosa and Kaldi, on recorded values.
//!
//! A short case of each is here; `TCMAX_GOLDEN` names a folder with more (by default the `golden`
//! folder of `shared` beside the project).

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use tcmax_media::signal::{FilterBank, Spectrogram};

type Tensors = HashMap<String, Tensor>;

fn golden_files(prefix: &str) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../../shared/golden");
    let more = std::env::var_os("TCMAX_GOLDEN").map_or(beside, PathBuf::from);
    let mut files = Vec::new();
    for folder in [here.join("tests/golden"), more] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            // Past the test harness, which shows nothing of tests that pass.
            let note = format!("SKIPPED: no recorded values in {}\n", folder.display());
            let _ = std::io::stderr().write_all(note.as_bytes());
            continue;
        };
        let named = entries.map(|entry| entry.unwrap().path()).filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        });
        files.extend(named);
    }
    assert!(!files.is_empty());
    files
}

fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    tensors[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn largest_gap(got: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn check_spectrograms() {
    for path in golden_files("spec") {
        let tensors = load(&path);
        let signal: Vec<f32> =
            values(&tensors, "stage.signal").iter().map(|&sample| sample as f32).collect();
        let number = |name: &str| header_field(&path, name).parse().unwrap();
        let spectrogram = Spectrogram::new(number("n_fft"), number("hop_length"));
        assert_eq!(tensors["output.spec_f64"].dims(), spectrogram.shape(signal.len()));
        let exact =
            largest_gap(&spectrogram.transform_f64(&signal), &values(&tensors, "output.spec_f64"));
        assert!(exact < 1e-7, "{}: {exact:e}", path.display());
        let rounded: Vec<f64> = spectrogram.transform(&signal).into_iter().map(f64::from).collect();
        let gap = largest_gap(&rounded, &values(&tensors, "output.spec"));
        eprintln!("{}: {exact:e} exact, {gap:e} against librosa", path.display());
        assert!(gap < 1e-5, "{}: {gap:e}", path.display());
    }
}

#[test]
fn spectrograms_are_librosas() {
    check_spectrograms();
}

#[test]
fn filter_banks_are_kaldis() {
    for path in golden_files("fbank") {
        let tensors = load(&path);
        let rate = header_field(&path, "sample_rate").parse().unwrap();
        let wave: Vec<f64> =
            values(&tensors, "input.wav_i16").iter().map(|sample| sample / 32_768.0).collect();
        let mean = wave.iter().sum::<f64>() / wave.len() as f64;
        let first = first_channel(&tensors["input.wav_i16"], &wave);
        let signal: Vec<f64> = first.iter().map(|sample| sample - mean).collect();
        let bank = FilterBank::new(rate, 128);
        let mut got = bank.transform(&signal);
        // The recipe cuts at 1,024 frames.
        got.truncate(1_024 * 128);
        let gap = largest_gap(&got, &values(&tensors, "output.fbank_f64_frames"));
        eprintln!("{}: {gap:e}", path.display());
        assert!(gap < 1e-8, "{}: {gap:e}", path.display());
    }
}

fn header_field(path: &Path, name: &str) -> String {
    let header = tcmax_data::shards::header(path).unwrap();
    header.metadata().as_ref().unwrap()[name].clone()
}

/// The first of the channels of (channels, samples) or (samples,).
fn first_channel(tensor: &Tensor, values: &[f64]) -> Vec<f64> {
    match *tensor.dims() {
        [channels, samples] if channels < samples => values[..samples].to_vec(),
        [_, channels] => values.iter().step_by(channels).copied().collect(),
        _ => values.to_vec(),
    }
}
