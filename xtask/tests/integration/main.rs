//! The integration tests of this crate, as one program: it links once.

mod architecture;
mod documents;
mod golden;
mod leaderboard;
mod logs;
#[path = "../markdown/mod.rs"]
mod markdown;
#[allow(dead_code, reason = "each test uses its own part")]
#[path = "../../../crates/tcmax-cli/tests/miniature/mod.rs"]
mod miniature;
mod packages;
mod suite;
mod weights;
