//! Gradients clipped by norm.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::error::Result;
use crate::training::params::Params;
use crate::wide::{to_vec_f64, wide};

/// What PyTorch adds to a norm before it divides by it.
const LEAST_NORM: f64 = 1e-6;

/// Scales all gradients down together so that their joint norm is at most `largest`; returns the
/// norm before. The norm is summed in the device's widest float, in the order of the names.
///
/// The factor is `largest / (norm + 1e-6)` where that is below 1, as in PyTorch's `clip_grad_norm_`.
///
/// # Errors
/// Only if the device fails.
pub fn clip_grad_norm(params: &Params, gradients: &mut GradStore, largest: f64) -> Result<f64> {
    let norm = grad_norm(params, gradients)?;
    let factor = largest / (norm + LEAST_NORM);
    if factor < 1.0 {
        scale_gradients(params, gradients, factor)?;
    }
    Ok(norm)
}

/// The joint Euclidean norm of all gradients.
///
/// # Errors
/// Only if the device fails.
pub fn grad_norm(params: &Params, gradients: &GradStore) -> Result<f64> {
    let all = params.trainable().filter_map(|(_, var)| gradients.get(var.as_tensor()));
    let squares = all.map(|gradient| wide(gradient)?.sqr()?.sum_all());
    let squares: Vec<Tensor> = squares.collect::<candle_core::Result<_>>()?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    // Read at once: every read waits for the device.
    Ok(to_vec_f64(&Tensor::stack(&squares, 0)?)?.iter().sum::<f64>().sqrt())
}

/// Multiplies all gradients by a factor.
///
/// # Errors
/// Only if the device fails.
pub fn scale_gradients(params: &Params, gradients: &mut GradStore, factor: f64) -> Result<()> {
    for (_, var) in params.trainable() {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            let scaled = (gradient * factor)?;
            gradients.insert(var.as_tensor(), scaled);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::params::ParamBuilder;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    #[test]
    fn clipping_keeps_the_direction() {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let a = builder.param("a", 2, Init::Const(1.0)).unwrap();
        let b = builder.param("b", 1, Init::Const(1.0)).unwrap();
        let params = builder.params();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap() + (&b * 4.0).unwrap().sum_all().unwrap();
        let mut gradients = loss.unwrap().backward().unwrap();
        let norm = clip_grad_norm(&params, &mut gradients, 1.0).unwrap();
        assert!((norm - 34f64.sqrt()).abs() < 1e-12);
        let clipped = gradients.get(&b).unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((clipped - 4.0 / (norm + 1e-6)).abs() < 1e-12);
        let after = clip_grad_norm(&params, &mut gradients, 2.0).unwrap();
        assert!((after - norm / (norm + 1e-6)).abs() < 1e-12);
    }
}
