//! Dropout that draws from a seed.

use candle_core::{Result, Tensor};

use crate::composed;
use crate::composed::dropout::Chances;
use crate::device;
use crate::training::seed::Seed;

/// Sets values of `x` to 0 with probability `rate` and divides the others by 1 - `rate`.
///
/// Which ones depends on the seed and the number of values alone, on every device. Source: Srivastava et al. 2014,
/// "Dropout".
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{Seed, dropout};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
/// let y = dropout(&x, 0.5, Seed::new(1))?.to_vec1::<f32>()?;
/// assert!(y.iter().all(|y| *y == 0.0 || *y == 2.0));
/// assert!((450..550).contains(&y.iter().filter(|y| **y == 0.0).count()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the rate is not in [0, 1).
pub fn dropout(x: &Tensor, rate: f64, seed: Seed) -> Result<Tensor> {
    match Chances::of(rate)? {
        None => Ok(x.clone()),
        Some(chances) if x.device().is_cpu() => composed::dropout::dropout(x, chances, seed),
        Some(chances) => device::dropout(x, chances, seed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn the_gradient_passes_where_the_value_does_and_the_seed_decides() {
        let x = Var::ones((30, 20), DType::F64, &Device::Cpu).unwrap();
        let y = dropout(x.as_tensor(), 0.3, Seed::new(2)).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(numbers(&y), numbers(grads.get(x.as_tensor()).unwrap()));
        let again = dropout(x.as_tensor(), 0.3, Seed::new(2)).unwrap();
        let other = dropout(x.as_tensor(), 0.3, Seed::new(3)).unwrap();
        assert_eq!(numbers(&y), numbers(&again));
        assert_ne!(numbers(&y), numbers(&other));
    }

    #[test]
    fn a_rate_of_one_is_refused() {
        let x = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        assert!(dropout(&x, 1.0, Seed::new(0)).is_err());
        assert!(dropout(&x, f64::NAN, Seed::new(0)).is_err());
    }
}
