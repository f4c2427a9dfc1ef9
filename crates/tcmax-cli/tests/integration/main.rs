//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

mod bad_input;
#[path = "../binary/mod.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod estimate;
mod export;
mod greedy;
mod life_cycle;
mod measures;
mod methods;
#[allow(dead_code, reason = "each test uses its own part")]
#[path = "../miniature/mod.rs"]
mod miniature;
mod predict;
mod prepare_folder;
mod pretrained;
mod reproducible;
#[allow(dead_code, reason = "each test uses its own part")]
#[path = "../../../tcmax-pretrained/tests/server/mod.rs"]
mod server;
mod slurm;
mod targets;
mod tested_data;
mod user_data;
