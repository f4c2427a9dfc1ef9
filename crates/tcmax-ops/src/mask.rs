//! The masks of attention.

use candle_core::Tensor;

/// Which keys a query sees.
#[derive(Clone, Debug, Default)]
pub struct AttentionMask {
    /// 1 for a key that is there and 0 for one that is not, (B, S); none when all are there.
    pub keys: Option<Tensor>,
    /// Whether query t sees no key after t.
    pub causal: bool,
}
