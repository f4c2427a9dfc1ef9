//! Methods on several data sets: one table for each, and a summary.
//!
//! Statistics are those of a comparison on one data set ([`crate::table`]): differences are paired over the seeds, their
//! p values corrected for the number of methods on the data set (Holm). Mean ranks are Friedman's, with Nemenyi's
//! critical difference.

mod board;
mod failures;
mod grid;
mod markdown;
mod page;
mod set;
mod summary;

pub use board::{BoardSet, Leaderboard};
pub use markdown::markdown;
pub use page::html;
