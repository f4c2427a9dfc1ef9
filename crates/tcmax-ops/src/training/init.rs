//! Initial values of parameters, as PyTorch draws them.

use candle_core::{DType, Device, Shape, Tensor};
use rand_distr::{Distribution, Normal, Uniform};

use crate::error::{Error, Result};
use crate::training::seed::Seed;

/// How a parameter starts.
///
/// Fans follow PyTorch: for a weight of shape (out, in, k...) the fan-in is `in * prod(k)` and the
/// fan-out `out * prod(k)`; a vector counts as (n, 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every entry the same.
    Const(f64),
    /// Independent normal entries.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation, at least 0.
        std: f64,
    },
    /// Independent uniform entries in [-bound, bound].
    Uniform {
        /// Largest absolute value.
        bound: f64,
    },
    /// Normal with std = sqrt(2 / fan_out) (He et al. 2015), for layers before a ReLU.
    KaimingNormalFanOut,
    /// Normal with std = sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    XavierNormal,
}

impl Init {
    /// Draws a tensor; the same `seed` gives the same values in every element type.
    ///
    /// # Errors
    /// When the tensor does not fit into memory, or cannot be made on `device`.
    pub fn tensor(
        self,
        shape: &Shape,
        seed: Seed,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let (fan_in, fan_out) = fans(shape.dims());
        let (mut values, len) = room(shape)?;
        match self {
            Self::Const(value) => values.resize(len, value),
            Self::Normal { mean, std } => values.extend(normal(seed, mean, std).take(len)),
            Self::Uniform { bound } => values.extend(uniform(seed, bound).take(len)),
            Self::KaimingNormalFanOut => {
                values.extend(normal(seed, 0.0, (2.0 / fan_out).sqrt()).take(len));
            }
            Self::XavierNormal => {
                values.extend(normal(seed, 0.0, (2.0 / (fan_in + fan_out)).sqrt()).take(len));
            }
        }
        // Move as f64 only where the device can hold it: Metal cannot.
        let tensor = Tensor::from_vec(values, shape.clone(), &Device::Cpu)?;
        Ok(tensor.to_dtype(dtype)?.to_device(device)?)
    }
}

/// An empty vector with room for every element of a tensor, and how many there are.
fn room(shape: &Shape) -> Result<(Vec<f64>, usize)> {
    let too_large = || Error::TooLarge { shape: shape.clone() };
    let len = shape.dims().iter().try_fold(1usize, |len, dim| len.checked_mul(*dim));
    let len = len.ok_or_else(too_large)?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| too_large())?;
    Ok((values, len))
}

fn fans(dims: &[usize]) -> (f64, f64) {
    let out = dims.first().copied().unwrap_or(1) as f64;
    let into = dims.get(1).copied().unwrap_or(1) as f64;
    let taps: f64 = dims.iter().skip(2).map(|dim| *dim as f64).product();
    (into * taps, out * taps)
}

fn normal(seed: Seed, mean: f64, std: f64) -> impl Iterator<Item = f64> {
    // Scaling by hand keeps a bad std a bad tensor (caught later as NaN), never a panic.
    let unit = Normal::new(0.0, 1.0).expect("the unit normal is valid");
    unit.sample_iter(seed.rng()).map(move |x: f64| mean + std * x)
}

fn uniform(seed: Seed, bound: f64) -> impl Iterator<Item = f64> {
    let unit = Uniform::new_inclusive(-1.0, 1.0).expect("the unit interval is valid");
    unit.sample_iter(seed.rng()).map(move |x: f64| bound * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(init: Init, shape: impl Into<Shape>) -> Vec<f64> {
        let tensor = init.tensor(&shape.into(), Seed::new(3), DType::F64, &Device::Cpu).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn std(values: &[f64]) -> f64 {
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn spreads_are_those_of_the_formulas() {
        let conv = draw(Init::KaimingNormalFanOut, (64, 16, 3, 3));
        assert!((std(&conv) / (2.0f64 / (64.0 * 9.0)).sqrt() - 1.0).abs() < 0.03);
        let linear = draw(Init::XavierNormal, (200, 100));
        assert!((std(&linear) / (2.0f64 / 300.0).sqrt() - 1.0).abs() < 0.03);
        let uniform = draw(Init::Uniform { bound: 0.5 }, 10_000);
        assert!((std(&uniform) / (0.5 / 3f64.sqrt()) - 1.0).abs() < 0.03);
        assert!(uniform.iter().all(|x| x.abs() <= 0.5));
    }

    #[test]
    fn a_shape_that_no_memory_holds_is_an_error() {
        for shape in [vec![usize::MAX, 3], vec![1 << 40, 1 << 40], vec![1 << 61]] {
            for init in [Init::Const(0.0), Init::XavierNormal] {
                let shape = Shape::from(shape.clone());
                let error =
                    init.tensor(&shape, Seed::new(3), DType::F32, &Device::Cpu).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            }
        }
    }
}
