//! How candle's graph runs the operations: more parameters than it passes, gradients without zeros, and graphs side by
//! side.

pub(crate) mod backward;
pub(crate) mod branches;
pub(crate) mod hidden;
pub(crate) mod packed;
