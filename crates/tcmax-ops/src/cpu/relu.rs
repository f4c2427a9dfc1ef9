//! max(0, x) of a value.

use crate::cpu::element::Element;

/// max(0, value), but NaN stays NaN.
#[inline(always)]
pub(crate) fn relu<T: Element>(value: T) -> T {
    if value < T::zero() { T::zero() } else { value }
}
