//! Trainable tensor operations that candle lacks or gets wrong, parameters with seeded
//! initialisation, and a finite-difference gradient check.

mod error;
mod init;
mod params;
mod seed;

pub use error::{Error, Result};
pub use init::Init;
pub use params::{ParamBuilder, Params, State};
pub use seed::Seed;
