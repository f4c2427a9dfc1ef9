//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

#[path = "../features/mod.rs"]
mod features;
mod loader;
mod manifest;
mod npz;
mod sequences;
mod shards;
mod targets;
mod user_data;
mod user_data_problems;
