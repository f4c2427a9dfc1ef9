#![doc = include_str!("../README.md")]
// `eprintln!` panics where standard error cannot be written to: `say` does not.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

mod app;
mod commands;
pub mod process;
mod processes;
pub mod progress;

pub use app::App;
pub use commands::{Comparison, command_line, parse_assignment, write_results};
