//! Batch normalisation.

use candle_core::{Result, Tensor};

use crate::composed::normalise::scale_and_shift;

/// `x` (B, H, W, C) normalised with weight and bias by mean and variance of each channel, the batch's own
/// if none are given; and those statistics.
pub(crate) fn batch_norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
    given: Option<[&Tensor; 2]>,
) -> Result<(Tensor, [Tensor; 2])> {
    let channels = weight.elem_count();
    let rows = x.reshape((x.elem_count() / channels, channels))?;
    let (mean, centred, var) = match given {
        Some([mean, var]) => (mean.clone(), rows.broadcast_sub(mean)?, var.unsqueeze(0)?),
        None => {
            let mean = rows.mean_keepdim(0)?;
            let centred = rows.broadcast_sub(&mean)?;
            let var = centred.sqr()?.mean_keepdim(0)?;
            (mean, centred, var)
        }
    };
    let y = scale_and_shift(&centred, &var, eps, [weight, bias])?.reshape(x.shape())?;
    Ok((y, [mean.detach().flatten_all()?, var.detach().flatten_all()?]))
}
