#![doc = include_str!("../README.md")]

mod alone;
mod error;
mod frames;
mod group;
mod in_order;
mod share;
mod sum;
mod threads;
mod traffic;

pub use alone::Alone;
pub use error::{Error, Result};
pub use group::Group;
pub use in_order::after_the_first;
pub use share::share;
pub use threads::{Threads, run};
pub use traffic::{Counter, Purpose, Traffic};
