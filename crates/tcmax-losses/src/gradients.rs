//! Arithmetic on the gradients of groups of parameters.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use tcmax_ops::{to_scalar_f64, wide};

use crate::Result;

/// Multiplies the gradients of `vars` by `factor`.
pub(crate) fn scale(gradients: &mut GradStore, vars: &[Var], factor: f64) -> Result<()> {
    for var in vars {
        if let Some(gradient) = gradients.remove(var.as_tensor()) {
            gradients.insert(var.as_tensor(), (gradient * factor)?);
        }
    }
    Ok(())
}

/// The inner product of two gradients of the same parameters; what has none counts as zero.
pub(crate) fn inner(one: &GradStore, other: &GradStore, vars: &[Var]) -> Result<f64> {
    let mut sum = 0.0;
    for var in vars {
        let (Some(x), Some(y)) = (one.get(var.as_tensor()), other.get(var.as_tensor())) else {
            continue;
        };
        sum += to_scalar_f64(&wide(&(x * y)?)?.sum_all()?)?;
    }
    Ok(sum)
}

/// The sum of `weight * gradient` over several gradients of one parameter; `None` if none has one.
pub(crate) fn weighted(parts: &[(f64, &GradStore)], var: &Var) -> Result<Option<Tensor>> {
    let mut sum: Option<Tensor> = None;
    for (weight, gradients) in parts {
        let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
        let term = (gradient * *weight)?;
        sum = Some(match sum {
            Some(sum) => (sum + term)?,
            None => term,
        });
    }
    Ok(sum)
}
