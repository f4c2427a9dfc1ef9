#![doc = include_str!("../README.md")]

mod affine;
mod concat;
mod error;
mod head;
mod sum;

pub use concat::ConcatHead;
pub use error::{Error, Result};
pub use head::{FusionHead, HeadKind};
pub use sum::SumHead;
