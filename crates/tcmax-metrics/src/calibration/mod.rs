//! Whether probabilities mean what they say: reliability, and a temperature that makes them.

mod reliability;
mod temperature;

pub use reliability::{Reliability, ReliabilityBin};
pub use temperature::Temperature;
