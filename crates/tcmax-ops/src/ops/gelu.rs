//! Gaussian error linear units and their two approximations.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::activation::Gelu;
use crate::cpu::gelu::{backward, forward, with_slope};
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, values};
use crate::device;
use crate::precision::preserving;

const OP: &str = "gelu";

/// The unit of every value of `x`: a tensor of the same shape.
///
/// In f32 the distribution function is right to 3e-7. Source: Hendrycks and Gimpel 2016, "Gaussian
/// Error Linear Units".
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::{Gelu, gelu};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[-1e4f64, 0.0, 1.0, 1e4], &Device::Cpu)?;
/// let y = gelu(&x, Gelu::Exact)?.to_vec1::<f64>()?;
/// assert_eq!((y[0], y[1], y[3]), (0.0, 0.0, 1e4));
/// assert!((y[2] - 0.841344746).abs() < 1e-9);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the element type is not a float that a CPU computes with.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    preserving(x, |x| {
        if !x.device().is_cpu() {
            return device::gelu(x, form);
        }
        check_dtype(x, OP)?;
        x.contiguous()?.apply_op1(Unit(form))
    })
}

/// The unit of every value, and its derivative there, on a CPU.
pub(crate) fn gelu_and_slope(x: &Tensor, form: Gelu) -> Result<(Tensor, Tensor)> {
    let x = x.contiguous()?;
    let opened = open(&x, OP);
    let slope;
    let y = dispatch!(opened.storage()?, OP, |T| {
        let [y, slopes] = with_slope::<T>(opened.values()?, form);
        slope = Tensor::from_vec(slopes, x.shape(), x.device())?;
        y
    });
    Ok((tensor_of(y, &x)?, slope))
}

struct Unit(Gelu);

impl CustomOp1 for Unit {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = dispatch!(x, OP, |T| { forward(values::<T>(x, layout, OP)?, self.0) });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (x, grad) = (x.contiguous()?, grad.contiguous()?);
        let (opened, grad) = (open(&x, OP), open(&grad, OP));
        let dx = dispatch!(opened.storage()?, OP, |T| {
            backward::<T>(opened.values()?, grad.values()?, self.0)
        });
        tensor_of(dx, &x).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composed;
    use crate::training::gradcheck::gradient_error;
    use candle_core::{DType, Device, Var};

    const FORMS: [Gelu; 3] = [Gelu::Exact, Gelu::Tanh, Gelu::Quick];

    fn grid(dtype: DType) -> Tensor {
        let x = Tensor::arange(-800f64, 800.0, &Device::Cpu).unwrap();
        (x / 67.0).unwrap().to_dtype(dtype).unwrap()
    }

    fn values_of(t: &Tensor) -> Vec<f64> {
        crate::wide::to_vec_f64(t).unwrap()
    }

    #[test]
    fn kernel_and_composition_agree() {
        for form in FORMS {
            for (dtype, limit) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
                let x = Var::from_tensor(&grid(dtype)).unwrap();
                let run = |y: Tensor| {
                    let grads = y.sum_all().unwrap().backward().unwrap();
                    (values_of(&y), values_of(grads.get(x.as_tensor()).unwrap()))
                };
                let ours = run(gelu(x.as_tensor(), form).unwrap());
                let theirs = run(composed::gelu::gelu(x.as_tensor(), form).unwrap());
                for (a, b) in ours.0.iter().zip(&theirs.0).chain(ours.1.iter().zip(&theirs.1)) {
                    assert!(
                        (a - b).abs() <= limit * b.abs().max(1.0),
                        "{form:?} {dtype:?}: {a} {b}"
                    );
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for form in FORMS {
            let x = (grid(DType::F64) / 3.0).unwrap();
            let error = gradient_error(&[x], |x| Ok(gelu(&x[0], form)?.sin()?.sum_all()?));
            assert!(error.unwrap() < 1e-8, "{form:?}");
        }
    }

    #[test]
    fn extremes_are_finite_and_nan_stays() {
        for form in FORMS {
            for dtype in [DType::F32, DType::F64] {
                let x = Tensor::new(&[-1e30f64, -500.0, 500.0, 1e30, f64::NAN], &Device::Cpu);
                let x = Var::from_tensor(&x.unwrap().to_dtype(dtype).unwrap()).unwrap();
                let y = gelu(x.as_tensor(), form).unwrap();
                let grads = y.narrow(0, 0, 4).unwrap().sum_all().unwrap().backward().unwrap();
                let (y, dx) = (values_of(&y), values_of(grads.get(x.as_tensor()).unwrap()));
                assert_eq!(y[..3], [0.0, 0.0, 500.0], "{form:?}");
                assert!((y[3] / 1e30 - 1.0).abs() < 1e-6 && y[4].is_nan());
                assert_eq!(dx[..4], [0.0, 0.0, 1.0, 1.0], "{form:?} {dtype:?}");
            }
        }
    }
}
