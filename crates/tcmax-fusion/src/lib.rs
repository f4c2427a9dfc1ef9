#![doc = include_str!("../README.md")]

mod affine;
mod bi_gated;
mod clip;
mod concat;
mod error;
mod film;
mod gated;
mod head;
mod list;
mod mmtm;
mod shared;
mod spec;
mod specific;
mod stages;
mod sum;

pub use bi_gated::{BI_GATED, BiGatedHead};
pub use clip::{CLIP, ClipHead, ClipOptions, normalised};
pub use concat::{CONCAT, ConcatHead};
pub use error::{Error, Result};
pub use film::{FILM, FILM_REVERSED, FilmHead};
pub use gated::{GATED, GATED_REVERSED, GatedHead, GatedOptions};
pub use head::{Conditioning, FusionHead, Owned};
pub use list::{HEADS, heads};
pub use mmtm::Mmtm;
pub use shared::{SHARED, SharedHead};
pub use spec::{HeadSpec, MakeHead, Modalities};
pub use specific::{SPECIFIC, SpecificHead};
pub use stages::StageFusion;
pub use sum::{SUM, SumHead};
