//! Gradients against finite differences.

use candle_core::{DType, Device, Tensor, Var};

use crate::error::Result;

/// The largest error of the gradients of `f` at `inputs` (f64 tensors), relative to the largest
/// entry of each gradient or 1, whichever is larger.
///
/// Every entry is moved by +-1e-5 and compared with the central difference, whose own error is
/// about 1e-10 for a smooth `f` of size 1; away from kinks a right gradient gives less than 1e-7.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> tcmax_ops::Result<()> {
/// let x = Tensor::new(&[0.3f64, -0.2], &Device::Cpu)?;
/// let error = tcmax_ops::gradient_error(&[x], |x| Ok(x[0].exp()?.sum_all()?))?;
/// assert!(error < 1e-8);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When `f` fails; a missing gradient counts as zero.
pub fn gradient_error(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<f64> {
    const STEP: f64 = 1e-5;
    let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let gradients = f(&tensors)?.backward()?;
    let mut worst = 0.0f64;
    for (position, input) in inputs.iter().enumerate() {
        let analytic = match gradients.get(&tensors[position]) {
            Some(gradient) => gradient.flatten_all()?.to_vec1::<f64>()?,
            None => vec![0.0; input.elem_count()],
        };
        let values = input.flatten_all()?.to_vec1::<f64>()?;
        let mut errors = Vec::with_capacity(values.len());
        let mut scale = 1.0f64;
        for entry in 0..values.len() {
            let at = |shift: f64| -> Result<f64> {
                let mut moved = values.clone();
                moved[entry] += shift;
                let mut arguments = inputs.to_vec();
                arguments[position] = Tensor::from_vec(moved, input.shape(), &Device::Cpu)?;
                Ok(f(&arguments)?.to_dtype(DType::F64)?.to_scalar::<f64>()?)
            };
            let numeric = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            scale = scale.max(numeric.abs());
            errors.push((analytic[entry] - numeric).abs());
        }
        let largest =
            errors.into_iter().fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
        // NaN must be returned as such, and f64::max would drop it.
        if largest.is_nan() {
            return Ok(f64::NAN);
        }
        worst = worst.max(largest / scale);
    }
    Ok(worst)
}
