//! The layout of images.

use candle_core::{Result, Tensor, bail};

use crate::cpu::channels_last::channels_last as by_kernel;
use crate::cpu::storage::{check_dtype, dispatch, open, shaped};

const OP: &str = "channels_last";

/// Images (B, C, H, W) as (B, H, W, C), the layout of every convolution here.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let two_channels = Tensor::new(&[1f32, 2.0, 10.0, 20.0], &Device::Cpu)?.reshape((1, 2, 1, 2))?;
/// let pixels = tcmax_ops::channels_last(&two_channels)?;
/// assert_eq!(pixels.dims(), [1, 1, 2, 2]);
/// assert_eq!(pixels.flatten_all()?.to_vec1::<f32>()?, [1.0, 10.0, 2.0, 20.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the rank is not 4.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    let &[batch, channels, height, width] = x.dims() else {
        bail!("{OP}: got {:?}, wanted [batch, channels, height, width]", x.dims());
    };
    let plain = x.track_op() || !x.device().is_cpu() || check_dtype(x, OP).is_err();
    if plain || channels == 1 || x.elem_count() == 0 {
        return x.permute((0, 2, 3, 1))?.contiguous();
    }
    let x = x.contiguous()?;
    let opened = open(&x, OP);
    let values = dispatch!(opened.storage()?, OP, |T| {
        by_kernel(opened.values::<T>()?, [channels, height, width])
    });
    shaped(values, (batch, height, width, channels))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::wide::to_vec_f64;

    #[test]
    fn pixels_are_those_of_candles_permutation_and_so_is_the_gradient() {
        for shape in [(2, 3, 5, 7), (1, 1, 4, 2), (3, 2, 1, 9), (2, 4, 40, 41), (0, 3, 2, 2)] {
            let x = Tensor::randn(0f32, 1f32, shape, &Device::Cpu).unwrap();
            let wanted = x.permute((0, 2, 3, 1)).unwrap();
            let got = channels_last(&x).unwrap();
            assert_eq!(got.dims(), wanted.dims());
            assert_eq!(to_vec_f64(&got).unwrap(), to_vec_f64(&wanted).unwrap());
        }
        let x = Var::new(&[[[[1f32, 2.0]], [[3.0, 4.0]]]], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[[[[5f32, 6.0], [7.0, 8.0]]]], &Device::Cpu).unwrap();
        let loss = (channels_last(x.as_tensor()).unwrap() * weights).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = to_vec_f64(gradients.get(x.as_tensor()).unwrap()).unwrap();
        assert_eq!(gradient, [5.0, 7.0, 6.0, 8.0]);
    }
}
