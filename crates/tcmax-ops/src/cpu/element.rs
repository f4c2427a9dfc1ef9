//! The element types that the CPU computes with.

use candle_core::cpu::erf::erfc_f64;
use candle_core::{CpuStorage, FloatDType, Result, bail};

use crate::cpu::exponential::{exp_of_at_most_zero, normal_distribution};

/// A scalar of the kernels: f32 or f64.
pub trait Element: FloatDType {
    /// The square root.
    fn root(self) -> Self;
    /// e to this power.
    fn exponential(self) -> Self;
    /// e to this power, which is not above 0 by more than rounding; inlined into vector loops.
    fn exp_of_at_most_zero(self) -> Self;
    /// The normal distribution function of this value, whose exp(-x^2 / 2) is `density`; inlined into vector
    /// loops.
    fn normal_distribution(self, density: Self) -> Self;
    /// The values of a storage of this type.
    fn slice(storage: &CpuStorage) -> Result<&[Self]>;
    /// The values of a storage of this type, for writing.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
    /// A storage of this type.
    fn storage(values: Vec<Self>) -> CpuStorage;
}

macro_rules! element {
    ($T:ty, $variant:ident, $exp:expr, $normal:expr) => {
        impl Element for $T {
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            fn exponential(self) -> Self {
                self.exp()
            }

            #[inline(always)]
            fn exp_of_at_most_zero(self) -> Self {
                $exp(self)
            }

            #[inline(always)]
            fn normal_distribution(self, density: Self) -> Self {
                $normal(self, density)
            }

            fn slice(storage: &CpuStorage) -> Result<&[Self]> {
                storage.as_slice()
            }

            fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(values) => Ok(values),
                    _ => bail!("the storage does not hold {}", stringify!($T)),
                }
            }

            fn storage(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$variant(values)
            }
        }
    };
}
element!(f32, F32, exp_of_at_most_zero, normal_distribution);
element!(f64, F64, f64::exp, |x: f64, _| erfc_f64(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0);
