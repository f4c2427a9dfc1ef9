//! The integration tests of this crate, as one program: it links once.

mod bound;
mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod critics;
mod detailed;
mod features;
mod fit;
mod golden;
mod hidden;
mod measures;
mod mixed;
mod neighbours;
mod own_estimator;
mod sharing;
#[path = "../wrapped/mod.rs"]
mod wrapped;
