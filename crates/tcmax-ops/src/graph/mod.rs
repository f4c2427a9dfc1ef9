//! How candle's graph runs the operations: more parameters than it passes, and gradients
//! without zeros.

pub(crate) mod backward;
pub(crate) mod hidden;
pub(crate) mod packed;
