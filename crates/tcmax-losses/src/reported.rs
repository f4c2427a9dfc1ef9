//! Numbers that are only reported, which a device may still be computing.

use std::cell::Cell;

use candle_core::Tensor;

use crate::Result;

thread_local! {
    static IS_LATER: Cell<bool> = const { Cell::new(false) };
}

/// A number that is only reported.
#[derive(Clone, Debug)]
pub enum Reported {
    /// It is known.
    Now(f64),
    /// The device may still be computing this scalar; to read it is to wait for all that the device was given before.
    Later(Tensor),
}

impl Reported {
    /// A scalar, read now or later.
    ///
    /// # Errors
    /// When it has more numbers than one.
    pub fn of(scalar: &Tensor) -> Result<Self> {
        match IS_LATER.get() {
            true => Ok(Self::Later(scalar.detach())),
            false => Ok(Self::Now(tcmax_ops::to_scalar_f64(scalar)?)),
        }
    }

    /// The number.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn value(&self) -> Result<f64> {
        match self {
            Self::Now(value) => Ok(*value),
            Self::Later(scalar) => Ok(tcmax_ops::to_scalar_f64(scalar)?),
        }
    }

    /// Whether it can be had without waiting.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Now(_))
    }
}

impl From<f64> for Reported {
    fn from(value: f64) -> Self {
        Self::Now(value)
    }
}

/// Runs `f`, in which what is only reported is read now, or, if `later`, by who wants it: a step then waits for no
/// device. Losses that are no finite numbers are found when they are read.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_losses::{Reported, reported};
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let loss = Tensor::new(0.5f32, &Device::Cpu)?;
/// assert!(Reported::of(&loss)?.is_known());
/// let later = reported(true, || Reported::of(&loss))?;
/// assert!(!later.is_known());
/// assert_eq!(later.value()?, 0.5);
/// # Ok(())
/// # }
/// ```
pub fn reported<T>(later: bool, f: impl FnOnce() -> T) -> T {
    tcmax_ops::with_flag(&IS_LATER, later, f)
}

/// Whether what is only reported is read later.
pub(crate) fn is_later() -> bool {
    IS_LATER.get()
}
