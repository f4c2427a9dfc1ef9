//! Cases of sound: log-spectrograms and filter banks.

use candle_core::{Device, Tensor};
use tcmax_data::Spectrogram;

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
