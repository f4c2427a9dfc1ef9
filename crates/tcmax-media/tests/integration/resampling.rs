//! Resampling, then the spectrogram, agrees with librosa's where there is sound.
//!
//! From 16 to 22.05 kHz nothing is left above 8 kHz, and the logarithm there is that of the
//! resampler's own noise: only what lies below 7 kHz is compared.

use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use tcmax_media::signal::{Sound, Spectrogram, resample, tile};

fn golden() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../../shared/golden");
    let folders =
        [here.join("tests/golden"), std::env::var_os("TCMAX_GOLDEN").map_or(beside, PathBuf::from)];
    let mut files = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            // Past the test harness, which shows nothing of tests that pass.
            let note = format!("SKIPPED: no recorded values in {}\n", folder.display());
            let _ = std::io::stderr().write_all(note.as_bytes());
            continue;
        };
        let is_case = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("spec512_"))
        };
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(is_case));
    }
    assert!(!files.is_empty());
    files
}

#[test]
fn a_resampled_sound_has_librosas_spectrogram_below_seven_kilohertz() {
    for path in golden() {
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let wave = tensors.tensor("input.wav_i16").unwrap();
        let samples: Vec<f32> = wave
            .data()
            .chunks_exact(2)
            .map(|raw| f32::from(i16::from_le_bytes([raw[0], raw[1]])) / 32_768.0)
            .collect();
        if wave.shape().len() != 1 {
            continue;
        }
        let header = tcmax_data::shards::header(&path).unwrap();
        // Clipping is not linear: it spreads the difference at 8 kHz, where one resampler ends a little
        // later than another, over all frequencies.
        if header.metadata().as_ref().unwrap()["clipped_samples"] != "0" {
            eprintln!("left out, it is clipped: {}", path.display());
            continue;
        }
        let rate = header.metadata().as_ref().unwrap()["wav_rate"].parse().unwrap();
        let sound = resample(&Sound { samples, rate, first: None }, 22_050).unwrap();
        let signal: Vec<f32> = tile(&sound, 66_150).iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        let got = Spectrogram::new(512, 353).transform(&signal);
        let wanted = tensors.tensor("output.spec_f64").unwrap();
        let wanted: Vec<f64> = wanted
            .data()
            .chunks_exact(8)
            .map(|raw| f64::from_le_bytes(raw.try_into().unwrap()))
            .collect();
        let below = (7_000 * 512 / 22_050) * 188;
        let mut gaps: Vec<f64> =
            (0..below).map(|n| (f64::from(got[n]) - wanted[n]).abs()).collect();
        gaps.sort_by(f64::total_cmp);
        let at = |fraction: f64| gaps[(fraction * (gaps.len() - 1) as f64) as usize];
        eprintln!("{}: median {:.1e}, 99 % {:.1e}", path.display(), at(0.5), at(0.99));
        assert!(at(0.5) < 1e-3 && at(0.99) < 3e-2, "{}: {} {}", path.display(), at(0.5), at(0.99));
    }
}
