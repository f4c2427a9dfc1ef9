//! The integration tests of this crate, as one program: it links once.

mod every_encoder;
mod golden;
mod gradients;
mod half;
mod padding;
mod reading;
mod stages;
