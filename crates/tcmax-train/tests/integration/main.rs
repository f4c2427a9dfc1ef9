//! The integration tests of this crate, as one program: it links once.

mod choose;
mod clipping;
mod devices;
#[path = "../event_files/mod.rs"]
mod event_files;
mod gradients;
mod greedy;
mod information;
mod logs;
mod members;
mod methods;
mod missing;
mod planned;
mod schedules;
#[path = "../vectors/mod.rs"]
mod vectors;
