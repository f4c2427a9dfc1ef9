//! The integration tests of this crate, as one program: it links once.

#[path = "../fixture/mod.rs"]
mod fixture;
mod information;
mod leaderboard;
mod report;
mod verdict;
