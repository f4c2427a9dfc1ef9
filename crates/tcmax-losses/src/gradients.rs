//! Arithmetic on the gradients of groups of parameters, and their sums over members.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{to_scalar_f64, to_vec_f64, wide};
use tcmax_parallel::{Group, Purpose};

use crate::Result;

/// Replaces the gradients of `vars`, which are the same on every member, by their sums over the members.
///
/// All numbers go in one flat vector, parameter by parameter, with a 1 for every parameter that has a gradient
/// here: one that has none on any member gets none, and one that has none on some members counts as zeros there.
pub(crate) fn add_up(gradients: &mut GradStore, vars: &[&Var], group: &dyn Group) -> Result<()> {
    let has = |gradients: &GradStore, var: &Var| gradients.get(var.as_tensor()).is_some();
    let flags = vars.iter().map(|var| f64::from(u8::from(has(gradients, var))));
    let flags: Vec<f64> = flags.collect();
    let is_double = vars.iter().any(|var| var.dtype() == DType::F64);
    let summed = if is_double {
        let mut values = flat::<f64>(gradients, vars, flags)?;
        group.sum_f64(&mut values, Purpose::Gradients)?;
        let count = values.len();
        Tensor::from_vec(values, count, &Device::Cpu)?
    } else {
        let flags = flags.into_iter().map(|flag| flag as f32).collect();
        let mut values = flat::<f32>(gradients, vars, flags)?;
        group.sum_f32(&mut values, Purpose::Gradients)?;
        let count = values.len();
        Tensor::from_vec(values, count, &Device::Cpu)?
    };
    let present = to_vec_f64(&summed.narrow(0, 0, vars.len())?)?;
    let mut start = vars.len();
    for (var, present) in vars.iter().zip(present) {
        let len = var.elem_count();
        if present > 0.0 {
            // A copy: otherwise every gradient would keep the whole vector alive.
            let sum = summed.narrow(0, start, len)?.reshape(var.shape())?.copy()?;
            let sum = sum.to_dtype(var.dtype())?.to_device(var.device())?;
            gradients.insert(var.as_tensor(), sum);
        }
        start += len;
    }
    Ok(())
}

/// The numbers of the gradients after others, zeros where there is none.
fn flat<T: candle_core::WithDType>(
    gradients: &GradStore,
    vars: &[&Var],
    mut values: Vec<T>,
) -> Result<Vec<T>> {
    for var in vars {
        match gradients.get(var.as_tensor()) {
            Some(gradient) => {
                let gradient = gradient.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?;
                values.extend(gradient.flatten_all()?.to_vec1::<T>()?);
            }
            None => values.resize(values.len() + var.elem_count(), T::from_f64(0.0)),
        }
    }
    Ok(values)
}

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
