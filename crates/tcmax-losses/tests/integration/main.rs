//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

mod blend;
mod finite_differences;
mod golden;
mod greedy;
mod marginals;
mod members;
mod modulated;
mod own_parameters;
mod planned;
mod sampled;
mod targets;
mod taught;
mod weighted;
mod wiring;
#[path = "../../../tcmax-estimators/tests/wrapped/mod.rs"]
mod wrapped;
