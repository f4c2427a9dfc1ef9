//! Gaussian error linear units.

use candle_core::{Result, Tensor};

use crate::activation::Gelu;

pub(crate) fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    match form {
        Gelu::Exact => x * (((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)? / 2.0)?,
        Gelu::Tanh => {
            let inner = ((x + (x.powf(3.0)? * 0.044_715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
            x * ((inner.tanh()? + 1.0)? / 2.0)?
        }
        Gelu::Quick => x * (((x * (1.702 / 2.0))?.tanh()? + 1.0)? / 2.0)?,
    }
}
