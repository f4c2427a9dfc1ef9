//! The element types that the CPU computes with.

use candle_core::{CpuStorage, FloatDType, Result, bail};

use crate::cpu::exponential::exp_of_at_most_zero;

/// A scalar of the kernels: f32 or f64.
pub trait Element: FloatDType {
    /// The square root.
    fn root(self) -> Self;
    /// e to this power.
    fn exponential(self) -> Self;
    /// e to this power, which is not above 0 by more than rounding; inlined into vector loops.
    fn exp_of_at_most_zero(self) -> Self;
    /// The values of a storage of this type.
    fn slice(storage: &CpuStorage) -> Result<&[Self]>;
    /// The values of a storage of this type, for writing.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;
    /// A storage of this type.
    fn storage(values: Vec<Self>) -> CpuStorage;
}

macro_rules! element {
    ($T:ty, $variant:ident, $exp:expr) => {
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
element!(f32, F32, exp_of_at_most_zero);
element!(f64, F64, f64::exp);
