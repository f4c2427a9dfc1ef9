//! Cases of sound: log-spectrograms and filter banks.

use candle_core::{DType, Device, Tensor};
use tcmax_media::signal::{FilterBank, Spectrogram};

use super::case::{Case, Tolerance};

/// The log-spectrogram of a signal that has been resampled and cut already.
pub fn spectrogram(case: &Case) -> anyhow::Result<()> {
    let signal = case.recorded("stage.signal")?.to_vec1::<f32>()?;
    let transform = Spectrogram::new(case.number("n_fft")?, case.number("hop_length")?);
    let shape = transform.shape(signal.len());
    let exact = Tensor::from_vec(transform.transform_f64(&signal), &shape, &Device::Cpu)?;
    case.check_within("output.spec_f64", &exact, Tolerance::absolute(1e-7))?;
    let stored = Tensor::from_vec(transform.transform(&signal), &shape, &Device::Cpu)?;
    case.check_within("output.spec", &stored, Tolerance::absolute(1e-5))
}

/// Frames that the paper's recipe keeps.
const FRAMES: usize = 1024;

/// The filter bank of a recording: of its first channel, less the mean over all channels.
pub fn filter_bank(case: &Case) -> anyhow::Result<()> {
    let recording = case.recorded("input.wav_i16")?.to_dtype(DType::F64)?;
    let channels = if recording.rank() == 1 { recording.unsqueeze(0)? } else { recording };
    let mean = channels.mean_all()?.to_scalar::<f64>()?;
    let first = channels.get(0)?.to_vec1::<f64>()?;
    let signal: Vec<f64> = first.iter().map(|sample| (sample - mean) / 32_768.0).collect();
    let bins = case.recorded("output.fbank")?.dim(1)?;
    let bank = FilterBank::new(case.number("sample_rate")?, bins);
    let frames = bank.frames(signal.len());
    let mut values = bank.transform(&signal);
    // The exact frames may be recorded beyond those that the recipe keeps, or cut like them.
    let exact = case.recorded("output.fbank_f64_frames")?.dim(0)?;
    let kept =
        |count: usize| Tensor::from_slice(&values[..count * bins], (count, bins), &Device::Cpu);
    let tolerance = Tolerance::absolute(1e-8);
    case.check_within("output.fbank_f64_frames", &kept(exact.min(frames))?, tolerance)?;
    values.resize(FRAMES * bins, 0.0);
    let stored = Tensor::from_vec(values, (FRAMES, bins), &Device::Cpu)?;
    case.check_within("output.fbank", &stored, Tolerance::absolute(1e-2))
}
