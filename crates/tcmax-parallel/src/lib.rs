#![doc = include_str!("../README.md")]

mod alone;
mod error;
mod frames;
mod group;
mod share;
mod sum;
mod threads;
mod traffic;

pub use alone::Alone;
pub use error::{Error, Result};
pub use group::Group;
pub use share::share;
pub use threads::{Threads, run};
pub use traffic::{Counter, Purpose, Traffic};
