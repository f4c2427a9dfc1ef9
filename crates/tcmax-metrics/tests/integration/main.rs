//! The integration tests of this crate, as one program: it links once.

mod classification;
mod golden;
