//! Products of a Hessian with a gradient, by central differences: candle has no second derivatives.
//!
//! ```text
//! v = H(J) g  ~  (grad J(theta + h u) - grad J(theta - h u)) / (2 h) |g|,     u = g / |g|
//! ```
//!
//! with g the gradient of another loss at the same parameters theta. h is the cube root of the element type's precision,
//! which makes the errors of the difference and of rounding alike: 6e-6 in f64, 5e-3 in f32. Norms are in f64.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use tcmax_ops::{to_vec_f64, wide};

use crate::Result;

/// H(J) grad(L) for each parameter, from what computes the scalars \[L, J\] by the present parameters. The parameters are
/// moved and set back to the same bits.
///
/// ```
/// use candle_core::{Device, Var};
/// use tcmax_losses::methods::curvature::hessian_gradient;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let x = Var::new(&[1f64, 2.0], &Device::Cpu)?;
/// // L = 5 (x_0 + x_1) and J = x_0^2 x_1, of Hessian [[2 x_1, 2 x_0], [2 x_0, 0]].
/// let v = hessian_gradient(&[x.clone()], &|| {
///     let (first, second) = (x.get(0)?, x.get(1)?);
///     Ok([((&first + &second)? * 5.0)?, (first.sqr()? * second)?])
/// })?;
/// let v = v[0].to_vec1::<f64>()?;
/// assert!((v[0] - 30.0).abs() < 1e-7 && (v[1] - 10.0).abs() < 1e-7);
/// assert_eq!(x.to_vec1::<f64>()?, [1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of the losses, or when backpropagation fails; the parameters are set back then too.
pub fn hessian_gradient(
    vars: &[Var],
    losses: &dyn Fn() -> Result<[Tensor; 2]>,
) -> Result<Vec<Tensor>> {
    let [first, _] = losses()?;
    let direction = gradients(vars, &first)?;
    let norm = direction.iter().map(|part| Ok(squares(part)?)).sum::<Result<f64>>()?.sqrt();
    if norm == 0.0 {
        return Ok(direction);
    }
    let kept = vars.iter().map(|var| var.as_detached_tensor().copy());
    let kept = kept.collect::<candle_core::Result<Vec<_>>>()?;
    let h = step_size(vars);
    let at = |shift: f64| -> Result<Vec<Tensor>> {
        for ((var, value), part) in vars.iter().zip(&kept).zip(&direction) {
            var.set(&(value + (part * (shift / norm))?)?)?;
        }
        let [_, second] = losses()?;
        gradients(vars, &second)
    };
    let both = at(h).and_then(|above| Ok((above, at(-h)?)));
    for (var, value) in vars.iter().zip(&kept) {
        var.set(value)?;
    }
    let (above, below) = both?;
    let slope = |(above, below): (&Tensor, &Tensor)| Ok(((above - below)? * (norm / (2.0 * h)))?);
    above.iter().zip(&below).map(slope).collect()
}

/// The mean of all entries of some tensors.
///
/// # Errors
/// Only if the device fails.
pub fn mean_entry(tensors: &[Tensor]) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for tensor in tensors {
        sum += to_vec_f64(tensor)?.iter().sum::<f64>();
        count += tensor.elem_count();
    }
    Ok(sum / count.max(1) as f64)
}

fn step_size(vars: &[Var]) -> f64 {
    let precision = match vars.first().map(|var| var.dtype()) {
        Some(DType::F64) => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    };
    precision.cbrt()
}

/// The gradients of a loss, zeros where there is none.
fn gradients(vars: &[Var], loss: &Tensor) -> Result<Vec<Tensor>> {
    let mut found: GradStore = tcmax_ops::backward(loss)?;
    let of = |var: &Var| match found.remove(var.as_tensor()) {
        Some(gradient) => Ok(gradient.detach()),
        None => Ok(var.as_detached_tensor().zeros_like()?),
    };
    vars.iter().map(of).collect()
}

fn squares(x: &Tensor) -> candle_core::Result<f64> {
    tcmax_ops::to_scalar_f64(&wide(x)?.sqr()?.sum_all()?)
}
