#![doc = include_str!("../README.md")]
// A library prints nothing: it returns text.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

pub mod balance;
pub mod csv;
pub mod leaderboard;
pub mod markdown;
mod page;
pub mod palette;
pub mod table;

pub use page::html;
pub use table::verdict;
