//! max(0, x) that does not hide NaN.
//!
//! candle 0.11's `relu` turns NaN into 0: a diverged network then trains on with dead units instead
//! of stopping with an error.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::composed;
use crate::cpu;
use crate::cpu::storage::{check_dtype, dispatch, values};
use crate::device;
use crate::precision::preserving;

const OP: &str = "relu";

/// max(0, x), and NaN where x is NaN; a tensor of the same shape. The gradient passes where x > 0.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::new(&[-1f32, 2.0, f32::NAN], &Device::Cpu)?;
/// let y = tcmax_ops::relu(&x)?.to_vec1::<f32>()?;
/// assert_eq!(y[..2], [0.0, 2.0]);
/// assert!(y[2].is_nan());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the element type is not a float that a CPU computes with.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    preserving(x, |x| {
        if !x.device().is_cpu() {
            return device::relu(x);
        }
        check_dtype(x, OP)?;
        x.contiguous()?.apply_op1(Relu)
    })
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = dispatch!(x, OP, |T| {
            values::<T>(x, layout, OP)?
                .iter()
                .map(|value| cpu::relu::relu(*value))
                .collect::<Vec<T>>()
        });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        composed::relu::gate(y, grad).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn kernel_and_composition_agree_and_nan_stays() {
        for dtype in [DType::F32, DType::F64] {
            let x = Tensor::new(&[-2f64, -0.0, 0.0, 3.0, f64::NAN, f64::INFINITY], &Device::Cpu);
            let x = Var::from_tensor(&x.unwrap().to_dtype(dtype).unwrap()).unwrap();
            let run = |f: fn(&Tensor) -> Result<Tensor>| {
                let y = f(x.as_tensor()).unwrap();
                let grads = y.sum_all().unwrap().backward().unwrap();
                let dx = grads.get(x.as_tensor()).unwrap().clone();
                [y, dx].map(|t| crate::wide::to_vec_f64(&t).unwrap())
            };
            for [y, dx] in [run(relu), run(composed::relu::relu)] {
                assert_eq!(y[..4], [0.0, 0.0, 0.0, 3.0]);
                assert!(y[4].is_nan() && y[5].is_infinite());
                assert_eq!(dx, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
            }
        }
    }
}
