//! Gradients clipped by norm.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::error::Result;
use crate::training::params::Params;
use crate::wide::{placed_like, to_vec_f64, wide};

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

/// As [`clip_grad_norm`], without waiting for the device: the norm before, a scalar of the device's widest float that it
/// may still be computing. `None` where there are no gradients.
///
/// # Errors
/// Only if the device fails.
pub fn clip_grad_norm_unread(
    params: &Params,
    gradients: &mut GradStore,
    largest: f64,
) -> Result<Option<Tensor>> {
    let Some(squares) = squared_norms(params, gradients)? else { return Ok(None) };
    let norm = squares.sum_all()?.sqrt()?;
    // The norm of no gradient at all is 0, and what divides by it more than 1.
    let factor = ((&norm + LEAST_NORM)?.recip()? * largest)?.minimum(1.0)?;
    for (_, var) in params.trainable() {
        if let Some(gradient) = gradients.get(var.as_tensor()) {
            let scaled = gradient.broadcast_mul(&placed_like(&factor, gradient)?)?;
            gradients.insert(var.as_tensor(), scaled);
        }
    }
    Ok(Some(norm))
}

/// The joint Euclidean norm of all gradients.
///
/// # Errors
/// Only if the device fails.
pub fn grad_norm(params: &Params, gradients: &GradStore) -> Result<f64> {
    // Read at once: every read waits for the device.
    let squares = squared_norms(params, gradients)?.map(|squares| to_vec_f64(&squares));
    Ok(squares.transpose()?.unwrap_or_default().iter().sum::<f64>().sqrt())
}

/// The squared norm of each gradient, in the device's widest float; `None` where there are no gradients.
fn squared_norms(params: &Params, gradients: &GradStore) -> Result<Option<Tensor>> {
    let all = params.trainable().filter_map(|(_, var)| gradients.get(var.as_tensor()));
    let squares = all.map(|gradient| wide(gradient)?.sqr()?.sum_all());
    let squares: Vec<Tensor> = squares.collect::<candle_core::Result<_>>()?;
    Ok(if squares.is_empty() { None } else { Some(Tensor::stack(&squares, 0)?) })
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

    /// Parameters, gradients 3, 3 of the first of them, and 4 of the second, "b".
    fn example(of: DType) -> (Params, GradStore, Tensor) {
        let builder = ParamBuilder::new(Seed::new(0), of, &Device::Cpu);
        let a = builder.param("a", 2, Init::Const(1.0)).unwrap();
        let b = builder.param("b", 1, Init::Const(1.0)).unwrap();
        let loss = (&a * 3.0).unwrap().sum_all().unwrap() + (&b * 4.0).unwrap().sum_all().unwrap();
        (builder.params(), loss.unwrap().backward().unwrap(), b)
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let (params, mut gradients, b) = example(DType::F64);
        let norm = clip_grad_norm(&params, &mut gradients, 1.0).unwrap();
        assert!((norm - 34f64.sqrt()).abs() < 1e-12);
        let clipped = gradients.get(&b).unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((clipped - 4.0 / (norm + 1e-6)).abs() < 1e-12);
        let after = clip_grad_norm(&params, &mut gradients, 2.0).unwrap();
        assert!((after - norm / (norm + 1e-6)).abs() < 1e-12);
    }

    #[test]
    fn clipping_without_reading_does_the_same() {
        for of in [DType::F32, DType::F64] {
            // Shorter than the gradients, and longer.
            for largest in [0.5, 100.0] {
                let (params, mut gradients, b) = example(of);
                let norm = clip_grad_norm_unread(&params, &mut gradients, largest).unwrap();
                let found = [norm.unwrap(), gradients.remove(&b).unwrap()];
                let (params, mut gradients, b) = example(of);
                let norm = clip_grad_norm(&params, &mut gradients, largest).unwrap();
                let wanted = to_vec_f64(gradients.get(&b).unwrap()).unwrap();
                let [found_norm, found] = found.map(|t| to_vec_f64(&t).unwrap()[0]);
                assert!((found_norm - norm).abs() < 1e-12, "{found_norm} {norm}");
                assert!((found - wanted[0]).abs() < 1e-7, "{found} {wanted:?}");
            }
        }
        let none = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu).params();
        let (_, mut gradients, _) = example(DType::F32);
        assert!(clip_grad_norm_unread(&none, &mut gradients, 1.0).unwrap().is_none());
    }
}
