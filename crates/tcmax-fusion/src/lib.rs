#![doc = include_str!("../README.md")]

mod affine;
mod bi_gated;
mod clip;
mod concat;
mod error;
mod film;
mod gated;
mod head;
mod shared;
mod specific;
mod sum;

pub use bi_gated::BiGatedHead;
pub use clip::{ClipHead, normalised};
pub use concat::ConcatHead;
pub use error::{Error, Result};
pub use film::FilmHead;
pub use gated::GatedHead;
pub use head::{Conditioning, FusionHead, HeadKind, HeadOptions};
pub use shared::SharedHead;
pub use specific::SpecificHead;
pub use sum::SumHead;
